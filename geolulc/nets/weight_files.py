"""Weights of others: safetensors, or PyTorch's zip of tensors. Nothing in them is run.

A ``.pth`` file is a zip of raw tensors beside a pickle that names them. It is read with
``torch.load(weights_only=True)``, an interpreter that knows tensors and containers only; the zip
is checked first, for it could otherwise unpack to more than it is.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geolulc.errors import CheckpointError
from geolulc.nets.safetensors_files import ZIP_MARK, finite_tensors, read_header, read_tensors

#: Keys under which training scripts put the weights.
_WRAPPERS = ("state_dict", "model", "teacher", "student")


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


def _unusable(file: Path, found: str, remedy: str) -> CheckpointError:
    return CheckpointError(
        file,
        found=found,
        expected="weights as safetensors, or as torch.save writes a state dict (.pth)",
        remedy=remedy,
    )
