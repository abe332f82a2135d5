"""The rasters of a map at pixel precision: what they hold and how they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.nomenclature import NO_CLASS, LandCoverClass
from geolulc.outputs.cells import ClassSummary
from geolulc.outputs.legends import class_entries, probability_entries
from geolulc.outputs.pixel_ranks import Ranking
from geolulc.outputs.pixel_rasters import RasterPlan, RasterWriter
from geolulc.outputs.pixel_tallies import pixel_classes
from geolulc.outputs.qgis_styles import paletted_style, ramp_style
from geolulc.outputs.rasters import Band, raster_memory
from geolulc.pixel_map import FULL, NODATA, PixelMapHeader

#: Rasters, as they are called among the outputs.
RASTERS: Final = ("probabilities", "top3", "confidence", "classes")
#: Most probable classes of a pixel that ``top3`` holds.
DEPTH: Final = 3
_SCALE: Final = 1 / FULL
_ORDINALS: Final = ("first", "second", "third")


def raster_plan(name: str, header: PixelMapHeader) -> RasterPlan:
    """How the raster ``name``, of ``RASTERS``, is laid out."""
    classes = pixel_classes(header)
    if name == "classes":
        colors = {c.code: c.rgb for c in classes}
        return RasterPlan(header.grid, [Band("Land cover", {})], NO_CLASS, "MODE", colors)
    if name == "confidence":
        band = Band("Probability of the class", {}, _SCALE)
        return RasterPlan(header.grid, [band], NODATA, "AVERAGE")
    if name == "top3":
        # codes cannot be averaged, and a mean would not be the probability of the code shown
        return RasterPlan(header.grid, _ranked_bands(min(DEPTH, len(classes))), NODATA, "NEAREST")
    bands = [
        Band(
            c.name,
            {"CLASS_CODE": str(c.code), "CLASS_SHORT_NAME": c.short, "COLOR": c.color},
            _SCALE,
        )
        for c in classes
    ]
    return RasterPlan(header.grid, bands, NODATA, "AVERAGE")


def _ranked_bands(depth: int) -> list[Band]:
    ranks = _ORDINALS[:depth]
    codes = [
        Band(f"{rank.capitalize()} class", {"MEANING": "class code; 0 = none"}) for rank in ranks
    ]
    return codes + [Band(f"Probability of the {rank} class", {}, _SCALE) for rank in ranks]


class LayerWriters:
    """The rasters of a map, written together block by block. Use as a context."""

    def __init__(self, header: PixelMapHeader, paths: dict[str, Path], scratch: Path) -> None:
        """``paths``: raster → its file; ``scratch``: a folder for rows meanwhile."""
        self._codes = class_codes(header)
        self._stack = ExitStack()
        self._writers = {
            name: self._stack.enter_context(
                RasterWriter(path, scratch / f".{name}.rows.tif", raster_plan(name, header))
            )
            for name, path in paths.items()
        }

    def __enter__(self) -> LayerWriters:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def append(self, probabilities: NDArray[np.uint8], ranking: Ranking) -> None:
        """The next rows, as ``RasterWriter.append`` wants them."""
        for name, writer in self._writers.items():
            writer.append(raster_values(name, self._codes, probabilities, ranking))

    def finish(self, name: str, tags: dict[str, str]) -> None:
        """Make the file of ``name``; in any thread, of different ones at once too."""
        with raster_memory():
            self._writers[name].finish({**tags, "GEOLULC_FILE": name})


def class_codes(header: PixelMapHeader) -> NDArray[np.uint8]:
    """uint8 (class,): the codes of the map's classes."""
    return np.array([c.code for c in pixel_classes(header)], np.uint8)


def raster_values(
    name: str, codes: NDArray[np.uint8], probabilities: NDArray[np.uint8], ranking: Ranking
) -> NDArray[np.uint8]:
    """What some rows of the raster ``name`` hold: uint8 (band, rows, columns).

    Args:
        name: of ``RASTERS``.
        codes: as ``class_codes``.
        probabilities: uint8 (class, rows, columns), as in ``PixelStrip``.
        ranking: of these, ``DEPTH`` deep.
    """
    if name == "probabilities":
        return probabilities
    if name == "confidence":
        return ranking.probabilities[:1]
    if name == "classes":
        dominant = codes[ranking.index[:1]]
        dominant[0][~ranking.mapped] = NO_CLASS
        return dominant
    ranked = codes[ranking.index]
    ranked[ranking.probabilities == 0] = NO_CLASS
    ranked[ranking.probabilities == NODATA] = NODATA
    return np.concatenate([ranked, ranking.probabilities])


def raster_style(name: str, header: PixelMapHeader, summaries: Sequence[ClassSummary]) -> str:
    """The .qml of the raster ``name``."""
    classes: tuple[LandCoverClass, ...] = pixel_classes(header)
    if name == "confidence":
        return ramp_style(probability_entries())
    if name == "probabilities":
        expected = [s.expected_area_ha for s in summaries]
        return ramp_style(probability_entries(), band=1 + expected.index(max(expected)))
    return paletted_style(class_entries(classes))
