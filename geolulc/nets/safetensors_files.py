"""safetensors files: read only after their header has been found sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from geolulc.errors import CheckpointError

_ALLOWED: Final = frozenset({"F32", "F16", "BF16", "I32", "I64"})
_LONGEST_HEADER: Final = 50_000_000
_EXPECTED: Final = "weights in a safetensors file"
#: The first bytes of a zip archive, as torch.save writes.
ZIP_MARK: Final = b"PK\x03\x04"
_REMEDY: Final = "Give model.safetensors of a run, or the run's folder."


@dataclass(frozen=True)
class TensorFile:
    """The header of a safetensors file: metadata, and name → (dtype, shape)."""

    path: Path
    metadata: Mapping[str, str]
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]


def read_header(file: Path) -> TensorFile:
    """Names, types and shapes of the tensors of a safetensors file, without loading them.

    Raises:
        CheckpointError: it is something else, or was cut short.
    """
    _require_safetensors(file)
    try:
        with safe_open(file, framework="pt", device="cpu") as handle:
            metadata = handle.metadata() or {}
            tensors = {}
            for name in handle.keys():  # noqa: SIM118 – a handle, not a dict
                view = handle.get_slice(name)
                tensors[name] = (str(view.get_dtype()), tuple(view.get_shape()))
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(file, error) from error
    for name, (dtype, _) in tensors.items():
        if dtype not in _ALLOWED:
            found, expected = f"tensor {name} of type {dtype}", ", ".join(sorted(_ALLOWED))
            raise CheckpointError(file, found=found, expected=f"types {expected}", remedy=_REMEDY)
    return TensorFile(file, metadata, tensors)


def read_tensors(header: TensorFile) -> dict[str, Tensor]:
    """The tensors of a file, floats as float32; ``CheckpointError`` if one is not finite."""
    try:
        with safe_open(header.path, framework="pt", device="cpu") as handle:
            state = {name: handle.get_tensor(name) for name in header.tensors}
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(header.path, error) from error
    return finite_tensors(header.path, state)


def finite_tensors(file: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file by name, floats as float32; ``CheckpointError`` if one is not finite."""
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                file,
                found=f"values in {name} that are not finite",
                expected="finite weights",
                remedy="The training diverged or the file is damaged; use another one.",
            )
    return {n: t.float() if t.is_floating_point() else t for n, t in state.items()}


def compare_shapes(
    file: Path,
    found: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
    what: str,
) -> None:
    """``CheckpointError`` unless the tensors of ``file`` are those that ``what`` needs."""
    remedy = "The file is damaged or was made by another version; train or download it again."
    missing = sorted(set(expected) - set(found))
    extra = sorted(set(found) - set(expected))
    if missing or extra:
        found_parts = ", ".join(
            f"{len(names)} tensors {how} (first: {names[0]})"
            for names, how in ((missing, "missing"), (extra, "too many"))
            if names
        )
        raise CheckpointError(
            file, found=found_parts, expected=f"the tensors of {what}", remedy=remedy
        )
    for name, shape in expected.items():
        if found[name] != shape:
            raise CheckpointError(
                file,
                found=f"tensor {name} of shape {found[name]}",
                expected=f"shape {shape}, as in {what}",
                remedy=remedy,
            )


def _require_safetensors(file: Path) -> None:
    """Say what a file is that is no safetensors file, from its first bytes."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise _damaged(file, error) from error
    length = int.from_bytes(start[:8], "little")
    if start[8:] == b"{" and length <= min(_LONGEST_HEADER, size - 8):
        return
    kinds = {
        ZIP_MARK: "a zip archive (PyTorch saves pickles so)",
        **{b"\x80" + bytes([version]): "a pickle" for version in range(2, 6)},
        b"\x08": "an ONNX graph, it seems",
        b"": "an empty file" if not size else "no safetensors header",
    }
    found = next(text for magic, text in kinds.items() if start.startswith(magic))
    if start[8:] == b"{":
        found = f"a header of {length} bytes in a file of {size}: it was cut short"
    raise CheckpointError(file, found=found, expected=_EXPECTED, remedy=_REMEDY)


def _damaged(file: Path, error: Exception) -> CheckpointError:
    found = f"a damaged file ({error})"
    return CheckpointError(file, found=found, expected=_EXPECTED, remedy="Copy or train it again.")
