"""Dynamic World's published variables: downloaded, and read as a model of geolulc's.

They are those of the SavedModel that Google publishes under Apache-2.0
(github.com/google/dynamicworld, commit 0dd288f); nothing of TensorFlow is needed.
"""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolulc.cache import cache_folder
from geolulc.errors import CheckpointError
from geolulc.nets.checkpoint_settings import find_settings
from geolulc.nets.config import DYNAMIC_WORLD, DYNAMIC_WORLD_BANDS, NetConfig
from geolulc.nets.dynamic_world import DynamicWorldFusion
from geolulc.nets.model import Model
from geolulc.nets.network import LandCoverNet
from geolulc.nets.normalisation import Normalisation
from geolulc.nets.shipped import named_file
from geolulc.nets.tensor_bundles import DATA_FILE, is_tensor_bundle, read_tensor_bundle
from geolulc.nets.weight_files import read_weights
from geolulc.nomenclature import nomenclature
from geolulc.staging import file_sha256

#: Where the variables are published, and their SHA-256.
_BASE: Final = (
    "https://raw.githubusercontent.com/google/dynamicworld/0dd288f/model/forward/variables"
)
_FILES: Final = MappingProxyType(
    {
        "variables.index": "f27000c6a3d7dcd3e76e333331b108697712c734d5d5ef11b3f34571027c8436",
        DATA_FILE: "c4a38299f2c0a741682cbe48810d55afdc832ff451e3d3708082751fe655fcb1",
    }
)
_LARGEST: Final = 2_000_000
_PATIENCE: Final = 30.0
_CARD: Final = MappingProxyType(
    {
        "authors": "Google and the World Resources Institute (Brown et al. 2022)",
        "doi": "10.1038/s41597-022-01307-4",
        "licence": "Apache-2.0",
        "source": "https://github.com/google/dynamicworld/tree/0dd288f",
        "trained_on": "24,000 labelled tiles of Level-1C from all continents",
    }
)
#: What ``start_from_dynamic_world`` says of a last layer that is not fresh.
TAKEN_OVER: Final = "taken over"
#: Of the batch norms.
_NORM_EPSILON: Final = 1e-3
#: Variables of the network.
_COUNT: Final = 146


def fetched_dynamic_world() -> Path:
    """The checkpoint that ``fetch_dynamic_world`` keeps, whether it is there or not."""
    return cache_folder() / f"{DYNAMIC_WORLD}.safetensors"


def require_fetched(subject: str) -> Path:
    """``fetched_dynamic_world``; ``CheckpointError`` about ``subject`` where it is not there."""
    if (file := fetched_dynamic_world()).is_file():
        return file
    raise CheckpointError(
        subject,
        found="it is not on this machine yet",
        expected="the published network of Dynamic World",
        remedy=f"geolulc models fetch {DYNAMIC_WORLD} downloads it (1 MB).",
    )


def download_dynamic_world(folder: Path, *, base: str = _BASE) -> Path:
    """Download the published variables into ``folder``; returns it.

    Raises:
        CheckpointError: the server cannot be reached, or gives other bytes than the published ones.
    """
    for name, expected in _FILES.items():
        url = f"{base}/{name}"
        try:
            with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:  # noqa: S310
                data = answer.read(_LARGEST + 1)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                url,
                found=f"no answer ({error})",
                expected="the published variables",
                remedy="Connect, or give a local copy: --model …/model/forward.",
            ) from error
        if hashlib.sha256(data).hexdigest() != expected:
            raise CheckpointError(
                url,
                found=f"{len(data):,} other bytes",
                expected=f"SHA-256 {expected[:12]}…",
                remedy="Try again later, or give a local copy: --model …/model/forward.",
            )
        (folder / name).write_bytes(data)
    return folder


def find_dynamic_world(path: Path) -> Path | None:
    """The folder of variables that ``path`` means: itself, or that of its SavedModel."""
    for folder in (path, path / "variables", path / "model" / "forward" / "variables"):
        if is_tensor_bundle(folder):
            return folder
    return None


def load_dynamic_world(folder: Path) -> Model:
    """The published network, from its folder of variables, in evaluation mode.

    Raises:
        CheckpointError: the variables are damaged, or those of another network.
    """
    found = read_tensor_bundle(folder)
    fusion = DynamicWorldFusion()
    try:
        variables = [found[f"variables/{i}/.ATTRIBUTES/VARIABLE_VALUE"] for i in range(_COUNT)]
        fusion.load_state_dict(_weights(variables), strict=True)
    except (KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            folder,
            found=f"other variables ({str(error).splitlines()[0]})",
            expected="those of google/dynamicworld, model/forward",
            remedy="geolulc models fetch dynamicworld downloads them.",
        ) from error
    classes = nomenclature("dynamicworld")
    names = [name for group in DYNAMIC_WORLD_BANDS.values() for name in group]
    net = LandCoverNet(
        fusion,
        config=NetConfig(task="pixel", fusion=DYNAMIC_WORLD, backbone=DYNAMIC_WORLD),
        classes=classes.names,
        nomenclature=classes,
        normalisation=Normalisation.none(names),
        bands=DYNAMIC_WORLD_BANDS,
        level="L1C",
    )
    return Model(
        net.eval(),
        provenance=dict(_CARD),
        name=DYNAMIC_WORLD,
        sha256=file_sha256(folder / DATA_FILE),
    )


def start_from_dynamic_world(
    fusion: DynamicWorldFusion, source: Path | str, classes: Sequence[str]
) -> dict[str, Any]:
    """Load the published weights into ``fusion``, or those that went on from them.

    The last layer is taken too where the classes are the same.

    Args:
        fusion: of ``classes``.
        source: "dynamicworld", a SavedModel's folder, a checkpoint of this fusion, or the name of
            a shipped one.
        classes: in the order of the logits.

    Returns:
        JSON-able: what was taken from where, for the checkpoint.

    Raises:
        CheckpointError: it is not fetched, or of another network.
    """
    given = Path(source)
    if (folder := find_dynamic_world(given)) is not None:
        published = load_dynamic_world(folder).net
        file, state, known = folder / DATA_FILE, published.fusion.state_dict(), published.classes
    else:
        named = str(source) == DYNAMIC_WORLD and not given.exists()
        file = require_fetched(f"pretrained {source}") if named else named_file(source)
        prefix, weights = "fusion.", read_weights(file)
        state = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        settings = find_settings(file)
        known = settings.classes if settings is not None else ()
    whole = tuple(known) == tuple(classes)
    own = fusion.state_dict()
    wanted = {k: v for k, v in own.items() if whole or not k.startswith("head.")}
    missing = [k for k, v in wanted.items() if k not in state or state[k].shape != v.shape]
    if missing:
        raise CheckpointError(
            file,
            found=f"{len(missing)} of {len(wanted)} tensors missing (first: {missing[0]})",
            expected="Dynamic World's layers",
            remedy="geolulc models fetch dynamicworld downloads them; leave pretrained out then.",
        )
    fusion.load_state_dict({k: state[k] for k in wanted}, strict=False)
    last = TAKEN_OVER if whole else "fresh"
    return {"file": file.name, "sha256": file_sha256(file), "last layer": last}


def _weights(variables: list[NDArray[np.float32]]) -> dict[str, Tensor]:
    """The fusion's weights, of the variables in the order in which the network made them."""
    units = _units(variables)
    names = ["stem", *_of_block("a"), *_of_block("b"), "side.0", "side.1", *_of_block("c")]
    weights: dict[str, Tensor] = {}
    for name in names:
        weights |= _folded(name, *units[name])
    return weights | _folded("head", *units["head"])


def _of_block(name: str) -> list[str]:
    return [*(f"{name}.layers.{i}" for i in range(6)), f"{name}.shortcut"]


def _units(variables: list[NDArray[np.float32]]) -> dict[str, list[NDArray[np.float32]]]:
    """Name → kernel, bias, and gamma, beta, mean and variance of the batch norm."""
    values = iter(variables)

    def take(count: int) -> list[NDArray[np.float32]]:
        return [next(values) for _ in range(count)]

    units = {"stem": take(6)}

    def last_pair(name: str, beside: str) -> None:
        # two branches end in one sum: their convolutions come first, then their norms
        units[name], units[beside] = take(2), take(2)
        units[name] += take(4)
        units[beside] += take(4)

    for i in range(5):
        units[f"a.layers.{i}"] = take(6)
    last_pair("a.layers.5", "a.shortcut")
    for i in range(5):
        units[f"b.layers.{i}"] = take(6)
    units["side.0"] = take(6)
    last_pair("b.layers.5", "b.shortcut")
    units["side.1"] = take(6)
    for i in range(5):
        units[f"c.layers.{i}"] = take(6)
    last_pair("c.layers.5", "c.shortcut")
    units["head"] = take(2)
    return units


def _folded(
    name: str,
    kernel: NDArray[np.float32],
    bias: NDArray[np.float32],
    *norm: NDArray[np.float32],
) -> dict[str, Tensor]:
    """Weight and bias of a convolution with its batch norm, which is fixed, folded in."""
    weight = kernel.astype(np.float64)
    if name.endswith(("layers.1", "layers.3", "layers.5", "side.1")):
        weight = weight.transpose(2, 3, 0, 1)  # depthwise: rows, columns, channels, 1
    else:
        weight = weight.transpose(3, 2, 0, 1)
    shifted = bias.astype(np.float64)
    if norm:
        gamma, beta, mean, variance = (part.astype(np.float64) for part in norm)
        factor = gamma / np.sqrt(variance + _NORM_EPSILON)
        weight = weight * factor[:, None, None, None]
        shifted = (shifted - mean) * factor + beta
    return {
        f"{name}.weight": torch.from_numpy(weight).float(),
        f"{name}.bias": torch.from_numpy(shifted).float(),
    }
