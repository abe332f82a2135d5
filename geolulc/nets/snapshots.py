"""Published BigEarthNet v2 models (reBEN, BIFOLD) as models of geolulc.

A snapshot is a folder with ``config.json`` and ``model.safetensors``, as ConfigILM writes to the
Hugging Face hub. The config names a timm architecture and the number of channels; bands, their
order, statistics and class names are conventions of the training code (reben-training-scripts,
ConfigILM); the version in the folder's name says which hold. The band order changed from v0.1.1 to
v0.2.0 with nothing in the files to show it, so an unknown version is refused.

Here the input channels are sorted into our groups and the head's rows into our class order, both
by name; 20 m bands are repeated 2 × 2 (nearest neighbour) and standardised with ConfigILM's
statistics of that interpolation. What results is an ordinary ``Model``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from geolulc.bands import SENTINEL2
from geolulc.datasets.patch import BIGEARTHNET
from geolulc.errors import CheckpointError, GeolulcError
from geolulc.nets.backbones import require_backbone
from geolulc.nets.config import NetConfig
from geolulc.nets.early import EarlyFusion
from geolulc.nets.model import Model
from geolulc.nets.network import LandCoverNet
from geolulc.nets.normalisation import Normalisation
from geolulc.nets.safetensors_files import compare_shapes, read_header, read_tensors
from geolulc.nomenclature import BEN19
from geolulc.staging import file_sha256

CONFIG_NAME: Final = "config.json"
WEIGHTS_NAME: Final = "model.safetensors"
_PREFIX: Final = "model.vision_encoder."
_LARGEST_CONFIG: Final = 1_000_000

#: Version → order of the ten Sentinel-2 bands at the network's input.
BAND_ORDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "v0.2.0": ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
    "v0.1.1": ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12", "B8A"),
}

# ConfigILM, BENv2_utils: statistics of the train split, key "120_nearest"
_STATISTICS: Final = {
    "B02": (438.3720703125, 607.02685546875),
    "B03": (614.0556640625, 603.2968139648438),
    "B04": (588.4096069335938, 684.56884765625),
    "B05": (942.8433227539062, 738.4326782226562),
    "B06": (1769.931640625, 1100.4560546875),
    "B07": (2049.551513671875, 1275.805419921875),
    "B08": (2193.2919921875, 1369.3717041015625),
    "B8A": (2235.556640625, 1356.5440673828125),
    "B11": (1568.226806640625, 1070.1612548828125),
    "B12": (997.7324829101562, 813.5276489257812),
}
NORMALISATION: Final = Normalisation(
    {band: mean for band, (mean, _) in _STATISTICS.items()},
    {band: std for band, (_, std) in _STATISTICS.items()},
)
_BANDS: Final = SENTINEL2.select(_STATISTICS)
#: ConfigILM sorts the class names.
CLASS_ORDER: Final = tuple(sorted(BEN19.names))


def is_snapshot(folder: Path) -> bool:
    """True for a folder in the layout of a published model."""
    return (folder / CONFIG_NAME).is_file()


def load_snapshot(folder: Path, *, band_order: str | None = None) -> Model:
    """The model of a snapshot folder, on the CPU, in evaluation mode.

    Args:
        folder: holds ``config.json`` and ``model.safetensors``; its name says the version, unless
            ``band_order`` does.
        band_order: a version ("v0.2.0", "v0.1.1") or the ten bands, separated by commas.

    Raises:
        CheckpointError: it is no such model, uses Sentinel-1, or its band order is not known.
    """
    settings = _read_config(folder / CONFIG_NAME)
    backbone = _backbone(folder, settings)
    title = _published_name(folder)
    _require_sentinel2(folder, settings)
    order = _band_order(folder, title, band_order)
    file = folder / WEIGHTS_NAME
    if not file.is_file():
        raise _unsound(folder, f"no {WEIGHTS_NAME}", "the weights as safetensors")
    config = NetConfig(backbone=backbone, upsampling="nearest", image_size=120)
    header = read_header(file)
    found = {key: shape for key, (_, shape) in header.tensors.items()}
    with torch.device("meta"):
        skeleton = _build(file, config)
    compare_shapes(
        file,
        found,
        {_PREFIX + key: tuple(t.shape) for key, t in skeleton.backbone.state_dict().items()},
        f"timm's {backbone} for {len(order)} bands and {len(CLASS_ORDER)} classes",
    )
    with torch.random.fork_rng(devices=[]):
        fusion = _build(file, config)
    state = {key.removeprefix(_PREFIX): t for key, t in read_tensors(header).items()}
    fusion.backbone.load_state_dict(_sorted_by_name(state, fusion.backbone, order))
    net = LandCoverNet(
        fusion,
        config=config,
        classes=BEN19.names,
        nomenclature=BEN19,
        normalisation=NORMALISATION,
        bands=_BANDS,
    ).eval()
    provenance = {
        "published": title,
        "trained_on": "BigEarthNet v2 (reBEN), official train split",
        "band_order": list(order),
        "made_with": "reben-training-scripts and ConfigILM",
    }
    return Model(net, provenance=provenance, name=title, sha256=file_sha256(file))


def _build(file: Path, config: NetConfig) -> EarlyFusion:
    try:
        return EarlyFusion(config, _BANDS, len(CLASS_ORDER), BIGEARTHNET)
    except GeolulcError as error:
        remedy = "The installed timm cannot rebuild it; update timm."
        raise error.within(file, CheckpointError, remedy=remedy) from error


def _sorted_by_name(
    state: Mapping[str, Tensor], backbone: Any, order: tuple[str, ...]
) -> dict[str, Tensor]:
    """Input channels in the order of our groups, head rows in the order of our classes."""
    first = f"{backbone.default_cfg['first_conv']}.weight"
    head = backbone.default_cfg["classifier"]
    ours = [band for names in _BANDS.values() for band in names]
    channels = [order.index(band) for band in ours]
    rows = [CLASS_ORDER.index(name) for name in BEN19.names]
    result = dict(state)
    result[first] = state[first][:, channels].contiguous()
    for part in ("weight", "bias"):
        result[f"{head}.{part}"] = state[f"{head}.{part}"][rows].contiguous()
    return result


def _read_config(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _LARGEST_CONFIG:
            raise _unsound(file, f"{file.stat().st_size} bytes", "a short JSON text")
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unsound(file, f"a text that cannot be read ({error})", "JSON") from error
    if not isinstance(values, dict):
        raise _unsound(file, type(values).__name__, "a JSON object")
    return values


def _backbone(folder: Path, settings: Mapping[str, Any]) -> str:
    name, file = settings.get("timm_model_name"), folder / CONFIG_NAME
    if not isinstance(name, str):
        raise _unsound(file, f"timm_model_name {name!r}", "the name of a timm architecture")
    try:
        require_backbone(name)
    except GeolulcError as error:
        raise _unsound(file, f"timm_model_name {name!r}: {error.found}", error.expected) from error
    if settings.get("classes") != len(CLASS_ORDER):
        raise _unsound(file, f"{settings.get('classes')!r} classes", "the 19 of BigEarthNet")
    if settings.get("image_size") != 120:
        raise _unsound(file, f"image_size {settings.get('image_size')!r}", "120 pixels")
    return name


def _require_sentinel2(folder: Path, settings: Mapping[str, Any]) -> None:
    channels = settings.get("channels")
    if channels == len(_STATISTICS):
        return
    needs = {2: "Sentinel-1 (VV, VH)", 12: "Sentinel-1 beside Sentinel-2 (VV, VH and ten bands)"}
    known = f": a model that needs {needs[channels]}" if channels in (2, 12) else ""
    expected = "10 channels: a model of Sentinel-2 bands alone"
    remedy = "Use one with -s2- in its name; a Sentinel-2 scene has no radar bands."
    raise _unsound(folder / CONFIG_NAME, f"{channels!r} channels{known}", expected, remedy)


def _band_order(folder: Path, title: str, asked: str | None) -> tuple[str, ...]:
    bands, versions = BAND_ORDERS["v0.2.0"], " or ".join(BAND_ORDERS)
    if asked is not None:
        if asked in BAND_ORDERS:
            return BAND_ORDERS[asked]
        order = tuple(part.strip().upper() for part in asked.split(","))
        if sorted(order) != sorted(bands):
            found = "neither a version nor the ten bands"
            expected = f"{versions}, or {', '.join(bands)} in their order"
            raise _unsound(f"band order {asked!r}", found, expected, "See the model's card.")
        return order
    version = re.search(r"v\d+\.\d+\.\d+", title)
    if version and version[0] in BAND_ORDERS:
        return BAND_ORDERS[version[0]]
    found = f"version {version[0]}" if version else "no version in its name"
    expected = f"{versions}: they differ in the order of the bands"
    remedy = "Give the order with --band-order, a version or the bands by name."
    raise _unsound(folder, found, expected, remedy)


def _published_name(folder: Path) -> str:
    """The folder's name, or that of the repository where the folder is one of the hub's cache."""
    resolved = folder.resolve()
    cached = re.fullmatch(r"models--(.+?)--(.+)", resolved.parent.parent.name)
    if resolved.parent.name == "snapshots" and cached:
        return f"{cached[1]}/{cached[2]}"
    return resolved.name


def _unsound(
    subject: Path | str,
    found: str,
    expected: str,
    remedy: str = "Give the folder of a published BigEarthNet v2 model, or download it again.",
) -> CheckpointError:
    return CheckpointError(subject, found=found, expected=expected, remedy=remedy)
