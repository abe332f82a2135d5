"""Checkpoints: one safetensors file that rebuilds a model. Loading runs nobody's code.

The file holds the tensors of the network under their names and, in safetensors' own metadata, a
JSON text under "geolulc": format version, config, bands, classes, normalisation and thresholds
(by name), temperature, patch size and provenance. Everything is checked before it is used: the
names and shapes of the tensors against a network that is built without memory first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from geolulc.errors import CheckpointError, GeolulcError, ParameterError
from geolulc.nets.building import build_fusion, build_label_correlation
from geolulc.nets.checkpoint_settings import Settings, parse_settings, settings_of
from geolulc.nets.model import Model
from geolulc.nets.network import LandCoverNet
from geolulc.staging import staged

#: Name of the checkpoint in a run folder.
CHECKPOINT_NAME: Final = "model.safetensors"
#: Key of geolulc's text in the metadata of a safetensors file.
METADATA_KEY: Final = "geolulc"

_DTYPES: Final = {"float32": torch.float32, "float16": torch.float16}
_ALLOWED: Final = frozenset({"F32", "F16", "BF16", "I64"})
_LONGEST_HEADER: Final = 50_000_000
_EXPECTED: Final = "a checkpoint written by geolulc (safetensors)"
_REMEDY: Final = "Give model.safetensors of a run, or the run's folder."


@dataclass(frozen=True)
class TensorFile:
    """The header of a safetensors file: metadata, and name → (dtype, shape)."""

    path: Path
    metadata: Mapping[str, str]
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]


def save_checkpoint(
    path: Path, model: Model, *, dtype: str = "float32", overwrite: bool = False
) -> None:
    """Write ``model`` to one safetensors file, whole or not at all.

    Args:
        path: the file.
        model: its network may be on any device, in any mode.
        dtype: "float16" halves the file: weights of two and more dimensions are stored so, the
            rest (biases, batch statistics) stays float32.
        overwrite: replace an existing file.

    Raises:
        OutputError: it cannot be written there.
        ParameterError: an unknown dtype, or weights that are not finite in it.
    """
    if dtype not in _DTYPES:
        raise ParameterError(
            "dtype of a checkpoint",
            found=repr(dtype),
            expected=f"one of {', '.join(_DTYPES)}",
            remedy="Use one of these.",
        )
    tensors = {
        name: _stored(name, tensor, _DTYPES[dtype])
        for name, tensor in model.net.state_dict().items()
    }
    text = json.dumps(settings_of(model), allow_nan=False, sort_keys=True)
    with staged([path], overwrite=overwrite) as (partial,):
        save_file(tensors, partial, metadata={METADATA_KEY: text})


def load_checkpoint(path: Path | str) -> Model:
    """The model of a checkpoint, on the CPU, in evaluation mode.

    Args:
        path: a ``*.safetensors`` file, a run's folder that holds ``model.safetensors``, or the
            name of a shipped model.

    Raises:
        CheckpointError: there is no such file, or it is not a sound checkpoint of geolulc.
    """
    file = find_checkpoint(path)
    header = read_header(file)
    with _explained(file):
        settings = parse_settings(header.metadata.get(METADATA_KEY, ""))
        with torch.device("meta"):
            skeleton = _build(settings)
        _compare(header, skeleton)
        # shapes agree: the network is no larger than the file
        with torch.random.fork_rng(devices=[]):
            net = _build(settings)
    state = read_tensors(header)
    net.load_state_dict(state)
    net.eval()
    return Model(
        net,
        thresholds=tuple(settings.thresholds[name] for name in settings.classes),
        temperature=settings.temperature,
        provenance=settings.provenance,
        name=settings.name,
        sha256=hash_file(file),
    )


def find_checkpoint(path: Path | str) -> Path:
    """The file that ``path`` means: itself, in a run's folder, or a shipped model by name."""
    from geolulc.nets.shipped import find_shipped

    given = Path(path)
    if given.is_dir():
        file = given / CHECKPOINT_NAME
        if file.is_file():
            return file
        raise CheckpointError(
            given,
            found=f"a folder without {CHECKPOINT_NAME}",
            expected="the folder of a training run",
            remedy="Give a run that has finished an epoch, or a checkpoint file.",
        )
    if given.is_file():
        return given
    shipped = find_shipped(str(path))
    if shipped is not None:
        return shipped
    raise CheckpointError(
        given,
        found="no such file, folder or shipped model",
        expected=_EXPECTED,
        remedy=_REMEDY,
    )


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
            raise CheckpointError(
                file,
                found=f"tensor {name} of type {dtype}",
                expected=f"types {', '.join(sorted(_ALLOWED))}",
                remedy=_REMEDY,
            )
    return TensorFile(file, metadata, tensors)


def read_tensors(header: TensorFile) -> dict[str, Tensor]:
    """The tensors of a file, floats as float32; ``CheckpointError`` if one is not finite."""
    state = {}
    try:
        with safe_open(header.path, framework="pt", device="cpu") as handle:
            for name in header.tensors:
                tensor = handle.get_tensor(name)
                state[name] = tensor.float() if tensor.is_floating_point() else tensor
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(header.path, error) from error
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                header.path,
                found=f"values in {name} that are not finite",
                expected="finite weights",
                remedy="The training diverged or the file is damaged; use another checkpoint.",
            )
    return state


def hash_file(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
        parts = []
        if missing:
            parts.append(f"{len(missing)} tensors missing (first: {missing[0]})")
        if extra:
            parts.append(f"{len(extra)} tensors too many (first: {extra[0]})")
        raise CheckpointError(
            file, found=", ".join(parts), expected=f"the tensors of {what}", remedy=remedy
        )
    for name, shape in expected.items():
        if found[name] != shape:
            raise CheckpointError(
                file,
                found=f"tensor {name} of shape {found[name]}",
                expected=f"shape {shape}, as in {what}",
                remedy=remedy,
            )


def _build(settings: Settings) -> LandCoverNet:
    return LandCoverNet(
        build_fusion(settings.config, settings.bands, len(settings.classes)),
        config=settings.config,
        classes=settings.classes,
        nomenclature=settings.nomenclature,
        normalisation=settings.normalisation,
        patch_size=settings.patch_size,
        bands=settings.bands,
        label_correlation=build_label_correlation(settings.config, len(settings.classes)),
    )


def _compare(header: TensorFile, net: nn.Module) -> None:
    compare_shapes(
        header.path,
        {name: shape for name, (_, shape) in header.tensors.items()},
        {name: tuple(t.shape) for name, t in net.state_dict().items()},
        "the network that its metadata describes",
    )


def _stored(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.to(dtype if tensor.ndim > 1 else torch.float32)
        if not torch.isfinite(tensor).all():
            raise ParameterError(
                f"weights {name}",
                found=f"values that are not finite as {dtype}",
                expected="finite weights",
                remedy="The training diverged; store float32 or train again.",
            )
    return tensor.contiguous()


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """What the metadata asks for in vain is an error of the file."""
    try:
        yield
    except CheckpointError as error:
        if error.subject == str(file):
            raise
        raise CheckpointError(
            file,
            found=f"{error.subject}: {error.found}",
            expected=error.expected,
            remedy=error.remedy,
        ) from error
    except GeolulcError as error:
        raise CheckpointError(
            file,
            found=f"{error.subject}: {error.found}",
            expected=error.expected,
            remedy="The file is damaged or needs another version of geolulc or timm.",
        ) from error


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
        b"PK\x03\x04": "a zip archive (PyTorch saves pickles so)",
        b"\x80\x02": "a pickle",
        b"\x80\x03": "a pickle",
        b"\x80\x04": "a pickle",
        b"\x80\x05": "a pickle",
        b"\x08": "an ONNX graph, it seems",
        b"": "an empty file" if not size else "no safetensors header",
    }
    found = next(text for magic, text in kinds.items() if start.startswith(magic))
    if start[8:] == b"{":
        found = f"a header of {length} bytes in a file of {size}: it was cut short"
    raise CheckpointError(file, found=found, expected=_EXPECTED, remedy=_REMEDY)


def _damaged(file: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        file,
        found=f"a damaged file ({error})",
        expected=_EXPECTED,
        remedy="Copy or train it again.",
    )
