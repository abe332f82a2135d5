"""map.tif: a band of probabilities for each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import ParameterError
from geolulc.landcover_map import LandCoverMap
from geolulc.outputs.cells import map_classes, map_thresholds, mapped_cells
from geolulc.outputs.rasters import Band, Layer, write_layer
from geolulc.outputs.tags import map_tags


@dataclass(frozen=True, slots=True)
class Encoding:
    """How probabilities are stored: ``value = round(probability / scale)``, or as they are."""

    dtype: str
    scale: float
    nodata: float


#: Quantised values are whole multiples of a decimal fraction; nodata lies outside 0..1.
ENCODINGS: Final[Mapping[str, Encoding]] = MappingProxyType(
    {
        "float32": Encoding("float32", 1.0, float("nan")),
        "uint8": Encoding("uint8", 0.004, 255),  # 0..250
        "uint16": Encoding("uint16", 0.0001, 65535),  # 0..10000
    }
)


def encode(landcover_map: LandCoverMap, encoding: Encoding) -> NDArray[Any]:
    """The probabilities in ``encoding``: within half a step (``scale`` / 2) of the true ones."""
    p = landcover_map.probabilities
    if encoding.dtype == "float32":
        return p.astype(np.float32, copy=False)
    steps = np.round(
        np.where(mapped_cells(landcover_map), p, 0).astype(np.float64) / encoding.scale
    )
    return np.where(mapped_cells(landcover_map), steps, encoding.nodata).astype(encoding.dtype)


def write_probabilities(
    path: Path,
    landcover_map: LandCoverMap,
    *,
    dtype: str = "float32",
    tags: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write map.tif: one band a class, its description the class name.

    Args:
        path: a new file.
        landcover_map: the map.
        dtype: "float32" with NaN as nodata, or "uint8" or "uint16" with scale and nodata tags.
        tags: further metadata.

    Raises:
        ParameterError: another ``dtype``.
        OutputError: the file cannot be written.
    """
    if dtype not in ENCODINGS:
        raise ParameterError(
            f"dtype {dtype!r}",
            found="no such encoding of probabilities",
            expected=f"one of {', '.join(ENCODINGS)}",
            remedy="Use one of these.",
        )
    write_layer(
        path,
        probability_layer(landcover_map, ENCODINGS[dtype]),
        landcover_map.grid,
        {**map_tags(landcover_map), **tags, "GEOLULC_FILE": "probabilities"},
    )


def probability_layer(landcover_map: LandCoverMap, encoding: Encoding) -> Layer:
    """The probabilities of all classes in ``encoding``."""
    thresholds = map_thresholds(landcover_map)
    bands = [
        Band(
            c.name,
            {
                "CLASS_CODE": str(c.code),
                "CLASS_SHORT_NAME": c.short,
                "COLOR": c.color,
                "THRESHOLD": f"{thresholds[i]:.6g}",
            },
            scale=encoding.scale,
        )
        for i, c in enumerate(map_classes(landcover_map))
    ]
    return Layer(
        encode(landcover_map, encoding), bands, nodata=encoding.nodata, overviews="AVERAGE"
    )
