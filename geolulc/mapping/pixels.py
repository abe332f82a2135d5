"""A part of a scene at pixel precision, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import ParameterError
from geolulc.mapping.mapper import Mapper
from geolulc.mapping.options import MapOptions
from geolulc.mapping.pixel_run import PixelRun
from geolulc.mapping.scene_run import Progress
from geolulc.nets import Model
from geolulc.pixel_map import PixelMapHeader
from geolulc.products import Product, open_product

#: Probabilities of more than so many bytes belong into files: a tile has 9 GB of them.
_LARGEST: Final = 2**31


@dataclass(frozen=True)
class Pixels:
    """Probabilities float32 (class, row, column) on ``header.grid``, NaN where there is no data."""

    header: PixelMapHeader
    probabilities: NDArray[np.float32]


def predict_pixels(
    scene: Product | Path | str,
    model: Model | Sequence[Model],
    *,
    options: MapOptions | None = None,
    progress: Progress | None = None,
) -> Pixels:
    """Land cover of a part of a scene, a class a pixel.

    Args:
        scene: a product, or the path of one.
        model: a pixel model, or several of the same classes, whose probabilities are averaged.
        options: ``aoi`` says which part, ``resolution`` the side of a pixel (10, 20 or 60 m).
        progress: called with (windows done, windows in all).

    Raises:
        ProductError: the product cannot be used.
        ParameterError: the model is none of pixels, or the part does not fit into memory.
    """
    models = [model] if isinstance(model, Model) else list(model)
    product = scene if isinstance(scene, Product) else open_product(Path(scene))
    with Mapper(models, options or MapOptions()) as mapper, mapper.open(product) as run:
        if not isinstance(run, PixelRun):
            raise ParameterError(
                f"model {models[0].name}",
                found="a model of patches",
                expected="a model of pixels",
                remedy="Use predict_scene, or a model trained with --task pixel.",
            )
        shape = len(run.header.classes), *run.header.grid.shape
        if 4 * np.prod(shape, dtype=np.int64) > _LARGEST:
            raise ParameterError(
                f"scene {product.name}",
                found=f"{shape[1]:,} × {shape[2]:,} pixels of {shape[0]} classes",
                expected=f"up to {_LARGEST / 2**30:.0f} GiB of probabilities in memory",
                remedy="Give an aoi, a coarser resolution, or use geolulc map.",
            )
        probabilities = np.empty(shape, np.float32)
        for rows in run.rows(progress):
            part = rows.probabilities()
            probabilities[:, rows.row : rows.row + part.shape[1]] = part
        return Pixels(run.header, probabilities)
