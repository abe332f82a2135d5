"""Checkpoints: one safetensors file that rebuilds a model. Loading runs nobody's code.

The file holds the tensors of the network under their names and, in safetensors' own metadata, a
JSON text under "geolulc": format version, config, bands, classes, normalisation and thresholds
(by name), calibration, patch size and provenance. Everything is checked before it is used: the
names and shapes of the tensors against a network that is built without memory first.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from geolulc.domain import KEY, TrainingDomain
from geolulc.errors import CheckpointError, GeolulcError, ParameterError, require_one_of
from geolulc.nets.building import (
    as_before_enlarging,
    build_fusion,
    build_geographic_prior,
    build_label_correlation,
)
from geolulc.nets.checkpoint_settings import METADATA_KEY, Settings, parse_settings, settings_of
from geolulc.nets.config import DYNAMIC_WORLD
from geolulc.nets.forest import ForestFusion
from geolulc.nets.hub import fetch_snapshot, hub_name
from geolulc.nets.model import Model
from geolulc.nets.network import LandCoverNet
from geolulc.nets.published_dynamic_world import (
    download_dynamic_world,
    fetched_dynamic_world,
    find_dynamic_world,
    load_dynamic_world,
    require_fetched,
)
from geolulc.nets.safetensors_files import (
    TensorFile,
    compare_shapes,
    read_header,
    read_tensors,
)
from geolulc.nets.snapshots import is_snapshot, load_snapshot
from geolulc.nets.tensor_bundles import DATA_FILE
from geolulc.ownership import ANY
from geolulc.staging import explained, file_sha256, staged

#: Name of the checkpoint in a run folder.
CHECKPOINT_NAME: Final = "model.safetensors"

_DTYPES: Final = {"float32": torch.float32, "float16": torch.float16}
_EXPECTED: Final = "a checkpoint written by geolulc (safetensors)"
_REMEDY: Final = "Give model.safetensors of a run, or the run's folder."


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
    require_one_of("checkpoint dtype", dtype, _DTYPES)
    tensors = {
        name: _stored(name, tensor, _DTYPES[dtype])
        for name, tensor in model.net.state_dict().items()
    }
    text = json.dumps(settings_of(model), allow_nan=False, sort_keys=True)
    parse_settings(text)  # or nobody could load the file
    with staged([path], overwrite=ANY if overwrite else 0) as (partial,):
        save_file(tensors, partial, metadata={METADATA_KEY: text})


def record_domain(
    path: Path | str, domain: TrainingDomain, out: Path, *, overwrite: bool = False
) -> None:
    """Write a copy of a checkpoint that says what it learned from; its tensors stay as they are.

    Args:
        path: as for ``load_checkpoint``, but not a published model.
        domain: of the patches that it was trained on.
        out: the new file; it can be the old one, with ``overwrite``.
        overwrite: replace an existing file.

    Raises:
        CheckpointError: it is not a sound checkpoint of geolulc.
        OutputError: it cannot be written there.
    """
    file = find_checkpoint(path)
    header = read_header(file)
    with _explained(file):
        parse_settings(header.metadata.get(METADATA_KEY, ""))
    plain = json.loads(header.metadata[METADATA_KEY])
    plain["provenance"][KEY] = domain.as_mapping()
    text = json.dumps(plain, allow_nan=False, sort_keys=True)
    tensors = load_file(file)
    with staged([out], overwrite=overwrite) as (partial,):
        save_file(tensors, partial, metadata={METADATA_KEY: text})


def load_checkpoint(path: Path | str, *, band_order: str | None = None) -> Model:
    """The model of a checkpoint, on the CPU, in evaluation mode.

    Args:
        path: a ``*.safetensors`` file, a run's folder that holds ``model.safetensors``, the name
            of a shipped model, the folder of a published BigEarthNet v2 model or of Dynamic World's
            SavedModel ("…/model/forward"), or the name of one on
            the Hugging Face hub ("BIFOLD-BigEarthNetv2-0/resnet50-s2-v0.2.0", "hf://owner/name").
        band_order: for a published model whose name does not contain its version: see
            ``load_snapshot``.

    Raises:
        CheckpointError: there is no such file, or it is not a sound checkpoint of geolulc.
    """
    file = find_checkpoint(path)
    if file.name == DATA_FILE:
        return load_dynamic_world(file.parent)
    if is_snapshot(file.parent) and METADATA_KEY not in read_header(file).metadata:
        return load_snapshot(file.parent, band_order=band_order)
    header = read_header(file)
    with _explained(file):
        settings = parse_settings(header.metadata.get(METADATA_KEY, ""))
        with torch.device("meta"):
            skeleton = _build(settings, header)
        _compare(header, skeleton)
        # shapes agree: the network is no larger than the file
        with torch.random.fork_rng(devices=[]):
            net = _build(settings, header)
    state = read_tensors(header)
    net.load_state_dict(state)
    if isinstance(net.fusion, ForestFusion):
        with _explained(file):
            net.fusion.require_sound()
    net.eval()
    return Model(
        net,
        thresholds=tuple(settings.thresholds[name] for name in settings.classes),
        calibration=settings.calibration,
        provenance=settings.provenance,
        name=settings.name,
        sha256=file_sha256(file),
        ground=settings.ground,
    )


def fetch_dynamic_world() -> Path:
    """Download the network of Dynamic World and keep it as a checkpoint; returns its path.

    Raises:
        CheckpointError: it cannot be downloaded.
        OutputError: the cache cannot be written.
    """
    target = fetched_dynamic_world()
    with explained(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="geolulc-") as folder:
        model = load_dynamic_world(download_dynamic_world(Path(folder)))
    save_checkpoint(target, model, overwrite=True)
    return target


def read_settings(file: Path) -> Settings:
    """The settings in the metadata of a checkpoint; ``CheckpointError`` if they are not sound."""
    with _explained(file):
        return parse_settings(read_header(file).metadata.get(METADATA_KEY, ""))


def find_checkpoint(path: Path | str) -> Path:
    """The file that ``path`` means: itself, in a run's folder, or a shipped model by name."""
    from geolulc.nets.shipped import find_shipped

    given = Path(path)
    if (published := hub_name(str(path))) is not None:
        return fetch_snapshot(published) / CHECKPOINT_NAME
    if (variables := find_dynamic_world(given)) is not None:
        return variables / DATA_FILE
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
    if str(path) == DYNAMIC_WORLD:
        return require_fetched(f"model {path}")
    raise CheckpointError(
        given,
        found="no such file, folder or shipped model",
        expected=_EXPECTED,
        remedy=_REMEDY,
    )


def _build(settings: Settings, header: TensorFile) -> LandCoverNet:
    config = settings.config
    if settings.version == 1:
        config = as_before_enlarging(config)
    shapes = {name: shape for name, (_, shape) in header.tensors.items()}
    return LandCoverNet(
        build_fusion(
            config,
            settings.bands,
            len(settings.classes),
            settings.layout,
            shapes,
            level=settings.level,
        ),
        config=config,
        classes=settings.classes,
        nomenclature=settings.land_cover,
        normalisation=settings.normalisation,
        patch_size=settings.patch_size,
        level=settings.level,
        bands=settings.bands,
        sensor=settings.seen_by,
        label_correlation=build_label_correlation(config, len(settings.classes), shapes),
        geographic_prior=build_geographic_prior(config, len(settings.classes), shapes),
        initialisation=settings.initialisation,
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
    """An error of the settings in ``file`` becomes an error of the file."""
    try:
        yield
    except CheckpointError as error:
        if error.subject == str(file):
            raise
        raise error.within(file) from error
    except GeolulcError as error:
        remedy = "The file is damaged or needs another version of geolulc or timm."
        raise error.within(file, CheckpointError, remedy=remedy) from error
