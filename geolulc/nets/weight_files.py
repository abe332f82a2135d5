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
from geolulc.nets.safetensors_files import read_header, read_tensors, require_finite

_EXPECTED = "weights as safetensors, or as torch.save writes a state dict (.pth)"
#: Keys under which training scripts put the weights.
_WRAPPERS = ("state_dict", "model", "teacher", "student")


def read_weights(file: Path) -> dict[str, Tensor]:
    """Name → tensor (floats as float32) of a file of weights.

    Raises:
        CheckpointError: no such file, or it holds anything but finite tensors.
    """
    if not file.is_file():
        raise CheckpointError(
            file,
            found="no such file",
            expected=_EXPECTED,
            remedy="Give the path of a file of weights, or torchgeo:NAME for a published one.",
        )
    with file.open("rb") as stream:
        start = stream.read(4)
    if start != b"PK\x03\x04":
        return read_tensors(read_header(file))
    _require_plain_zip(file)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # pickle.UnpicklingError, RuntimeError, EOFError, KeyError …: whatever a stranger's file
        # makes the reader stumble over
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            file,
            found=f"a file that cannot be read without running its code ({first})"
            if "nsupported" in str(error) or "nsafe" in str(error)
            else f"a damaged file ({first})",
            expected=_EXPECTED,
            remedy="Download it again, or save its state dict as safetensors.",
        ) from error
    state = _unwrapped(content)
    if not state:
        raise CheckpointError(
            file,
            found=f"a {type(content).__name__} without tensors by name",
            expected=_EXPECTED,
            remedy="Save the state dict of the encoder.",
        )
    require_finite(file, state)
    return {n: t.float() if t.is_floating_point() else t for n, t in state.items()}


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
        raise CheckpointError(
            file,
            found=f"a damaged zip ({error})",
            expected=_EXPECTED,
            remedy="Download it again.",
        ) from error
    size = file.stat().st_size
    if (
        any(e.compress_type != zipfile.ZIP_STORED for e in entries)
        or sum(e.file_size for e in entries) > size
        or not any(e.filename.endswith("data.pkl") for e in entries)
    ):
        raise CheckpointError(
            file,
            found="a zip that torch.save did not write",
            expected=_EXPECTED,
            remedy="Give the weights themselves, not an archive of them.",
        )
