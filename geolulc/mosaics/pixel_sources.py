"""The maps of pixels that a mosaic is made of, and which of their rasters say how sure they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from geolulc.errors import GeolulcError, OutputError
from geolulc.mosaics.sources import MapSource, find_maps, mixed, sensed, unusable
from geolulc.outputs.pixel_reading import header_of, is_pixel_map
from geolulc.outputs.pixel_sample import cell_header
from geolulc.outputs.pixel_tags import PIXEL_SIZE_TAG
from geolulc.outputs.pixel_tallies import pixel_classes
from geolulc.outputs.reading import opened_map
from geolulc.outputs.tags import MOSAIC
from geolulc.pixel_map import PixelMapHeader

#: Rasters beside a map.tif that hold probabilities, the one that says most first: of all classes,
#: of the three most probable ones, of the pixel's own.
EVIDENCE: Final = ("probabilities", "top3", "confidence")
#: Tags that the rasters of one map share, and those of another do not.
_SAME: Final = ("GEOLULC_FILES", "MAPPED_AREA_HA", "MODEL_SHA256", "SCENE_NAME")


@dataclass(frozen=True, slots=True)
class PixelSource(MapSource):
    """One map of pixels, without them; ``grid`` has a cell for each, ``quality`` is None.

    Attributes:
        header: all of the map but its pixels.
        evidence: of ``EVIDENCE``: the raster that probabilities are read from.
        beside: that raster.
    """

    header: PixelMapHeader
    evidence: str
    beside: Path


def holds_pixels(paths: Sequence[Path]) -> bool:
    """Whether the first map that ``paths`` name is one of pixels; False if it cannot be read."""
    try:
        return is_pixel_map(find_maps(paths)[0])
    except (GeolulcError, IndexError):
        return False


def read_pixel_source(path: Path) -> PixelSource | None:
    """The map of pixels at ``path``; None if it is another raster of one.

    Raises:
        GeolulcError: it is missing, damaged, not geolulc's, a mosaic, a map of cells, or has no
            probabilities beside it.
    """
    with opened_map(path) as dataset:
        tags = dataset.tags()
        if PIXEL_SIZE_TAG not in tags:
            raise mixed(path, "a map of cells among maps of pixels")
        if tags.get("GEOLULC_FILE") != "classes":
            return None
        if MOSAIC in tags:
            raise unusable(path, "a mosaic")
        header = header_of(dataset, tags)
        if header.grid.shape != dataset.shape or header.grid.transform != dataset.transform:
            raise unusable(path, f"a grid of {dataset.shape} pixels that its tags contradict")
        pixel_classes(header)  # an unknown class is refused
        told = _told(dataset)
        evidence, beside, more = _evidence(path, dataset, tags)
    cells = cell_header(header)
    text = json.dumps([told, evidence, more], sort_keys=True)
    return PixelSource(
        path=path,
        grid=cells.grid,
        classes=header.classes,
        nomenclature=header.nomenclature,
        thresholds=(),
        scene=dict(header.scene),
        model=dict(header.model),
        time=sensed(path, header.scene.get("sensing_time", "")),
        quality=None,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        header=header,
        evidence=evidence,
        beside=beside,
    )


def _told(dataset: Any) -> list[Any]:
    """All tags of a raster, those of the bands (their statistics) included."""
    bands = [dataset.tags(i) for i in range(1, dataset.count + 1)]
    return [dataset.tags(), bands, list(dataset.descriptions)]


def _evidence(path: Path, dataset: Any, tags: Mapping[str, str]) -> tuple[str, Path, list[Any]]:
    """Name, path and tags of the raster beside a map.tif that says most; it must be of this map."""
    for name in EVIDENCE:
        beside = path.with_name(f"{path.stem}_{name}.tif")
        if not beside.is_file():
            continue
        with opened_map(beside) as other:
            found = other.tags()
            fits = other.transform == dataset.transform and other.shape == dataset.shape
            if not fits or any(found.get(key) != tags.get(key) for key in _SAME):
                raise OutputError(
                    beside,
                    found="probabilities of another map",
                    expected=f"those of {path.name}",
                    remedy="Map the scene again, or move the file away.",
                )
            return name, beside, _told(other)
    raise OutputError(
        path,
        found="no probabilities beside it",
        expected=f"{path.stem}_top3.tif, or {' or '.join(f'_{n}.tif' for n in EVIDENCE[::2])}",
        remedy="Map the scene again with top3 among the --outputs.",
    )
