"""Weights of others: safetensors, or PyTorch's zip of tensors. Nothing in them is run.

A ``.pth`` file is a zip of raw tensors beside a pickle that names them. It is read with
``torch.load(weights_only=True)``, an interpreter that knows tensors and containers only; the zip
is checked first, for it could otherwise unpack to more than it is.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from geolulc.errors import CheckpointError
from geolulc.nets.safetensors_files import ZIP_MARK, finite_tensors, read_header, read_tensors

#: Keys under which training scripts put the weights.
_WRAPPERS = ("state_dict", "model", "teacher", "student")
_PLAIN: Final = frozenset(
    (dtype, torch.strided, "cpu")
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
)
#: Weights may be tied: two names for the same numbers.
_MOST_OF_FILE: Final = 2


def read_weights(file: Path) -> dict[str, Tensor]:
    """Name → tensor (floats as float32) of a file of weights.

    Raises:
        CheckpointError: no such file, or it holds anything but finite tensors.
    """
    if not file.is_file():
        remedy = "Give the path of a file of weights, or torchgeo:NAME for a published one."
        raise _unusable(file, "no such file", remedy)
    with file.open("rb") as stream:
        start = stream.read(len(ZIP_MARK))
    if start != ZIP_MARK:
        return read_tensors(read_header(file))
    _require_plain_zip(file)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # pickle.UnpicklingError, RuntimeError, EOFError, KeyError …: whatever a stranger's file
        # makes the reader stumble over
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        runs_code = "nsupported" in str(error) or "nsafe" in str(error)
        what = "file that cannot be read without running its code" if runs_code else "damaged file"
        remedy = "Download it again, or save its state dict as safetensors."
        raise _unusable(file, f"a {what} ({first})", remedy) from error
    state = _unwrapped(content)
    _require_plain_tensors(file, state)
    if not state:
        found = f"a {type(content).__name__} without tensors by name"
        raise _unusable(file, found, "Save the state dict of the encoder.")
    return finite_tensors(file, state)


def _unwrapped(content: Any) -> dict[str, Tensor]:
    for _ in range(3):
        if not isinstance(content, Mapping):
            return {}
        wrapper = next((k for k in _WRAPPERS if isinstance(content.get(k), Mapping)), None)
        if wrapper is None:
            break
        content = content[wrapper]
    return {str(k): v for k, v in content.items() if isinstance(v, Tensor)}


def _require_plain_zip(file: Path) -> None:
    """torch stores its tensors as they are; a compressed zip is not torch's."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise _unusable(file, f"a damaged zip ({error})", "Download it again.") from error
    if (
        any(e.compress_type != zipfile.ZIP_STORED for e in entries)
        or sum(e.file_size for e in entries) > file.stat().st_size
        or not any(e.filename.endswith("data.pkl") for e in entries)
    ):
        remedy = "Give the weights themselves, not an archive of them."
        raise _unusable(file, "a zip that torch.save did not write", remedy)


def _require_plain_tensors(file: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse, before a number is touched, tensors that are no arrays of the file's own numbers."""
    size, total = file.stat().st_size, 0
    for name, tensor in state.items():
        found = f"tensor {name} of {tensor.dtype}, {tensor.layout}, on {tensor.device.type}"
        if (
            type(tensor) not in (Tensor, nn.Parameter)
            or tensor.is_nested
            or (tensor.dtype, tensor.layout, tensor.device.type) not in _PLAIN
        ):
            raise _unusable(file, found, "Save the state dict, on the CPU, as float32.")
        total += tensor.numel() * tensor.element_size()
        if total > _MOST_OF_FILE * size:  # a view that is expanded, or of numbers that others have
            found = f"tensors of {total / 1e6:,.0f} MB, up to {name}, in {size / 1e6:,.1f} MB"
            raise _unusable(file, found, "Save the tensors as arrays of their own.")


def _unusable(file: Path, found: str, remedy: str) -> CheckpointError:
    return CheckpointError(
        file,
        found=found,
        expected="weights as safetensors, or as torch.save writes a state dict (.pth)",
        remedy=remedy,
    )
