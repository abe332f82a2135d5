"""One scene → land cover in memory, in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import ParameterError
from geolulc.mapping.mapper import Mapper
from geolulc.mapping.options import MapOptions
from geolulc.maps.header import LandCoverMap, MapBlock
from geolulc.nets import Model
from geolulc.products import Scene, open_scene
from geolulc.progress import Progress

#: Probabilities of more than so many bytes belong into files: a tile of pixels has 9 GB of them.
_LARGEST: Final = 2**31
_DEFAULTS: Final = MapOptions()


def predict_scene(
    scene: Scene | Path | str,
    model: Model | Sequence[Model],
    options: MapOptions = _DEFAULTS,
    *,
    progress: Progress | None = None,
    **choices: Any,
) -> LandCoverMap:
    """Land cover of a scene, or of the part of it that ``aoi`` says.

    Every tile of its images is read once, whatever the stride; decoding and inference share the
    cores.

    Args:
        scene: what to map, or the path of a product.
        model: a model of patches or of pixels, or several of one kind and of the same classes,
            whose probabilities are averaged.
        options: how to map.
        progress: called with (windows done, windows in all).
        **choices: attributes of ``options`` that differ.

    Returns:
        Probabilities float32 (class, row, column) in 0..1, NaN where there is no data; of cells
        with their valid and clear shares. Cells outside ``aoi`` have no data.

    Raises:
        ProductError: the product cannot be used.
        ParameterError: an option is out of range, or the map does not fit into memory.
    """
    models = [model] if isinstance(model, Model) else list(model)
    options = replace(options, **choices)
    if isinstance(scene, (Path, str)):
        scene = open_scene(scene)
    with Mapper(models, options) as mapper, mapper.open(scene) as run:
        header = run.header
        shape = len(header.classes), *header.grid.shape
        if 4 * np.prod(shape, dtype=np.int64) > _LARGEST:
            raise ParameterError(
                f"scene {scene.name}",
                found=f"{shape[1]:,} × {shape[2]:,} {header.unit.many} of {shape[0]} classes",
                expected=f"up to {_LARGEST / 2**30:.0f} GiB of probabilities in memory",
                remedy="Give an aoi, a coarser resolution, or use geolulc map.",
            )
        probabilities = np.empty(shape, np.float32)
        valid: list[NDArray[np.float32]] = []
        clear: list[NDArray[np.float32]] = []
        unlike: list[NDArray[np.float32]] = []
        for block in run.blocks(progress, shares=True):
            probabilities[:, block.row : block.row + block.shape[0]] = block.probabilities
            valid += [] if block.valid is None else [block.valid]
            clear += [] if block.clear is None else [block.clear]
            unlike += [] if block.unlikeness is None else [block.unlikeness]
        layers = [np.concatenate(p) if p else None for p in (valid, clear, unlike)]
        whole = MapBlock(0, 0, probabilities, layers[0], layers[1], unlikeness=layers[2])
        return LandCoverMap(header, whole)
