"""The rasters of a map: the values of each, and its style.

The table of outputs (``files.OUTPUTS``) names a ``Layer`` for each raster.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.errors import OutputError
from geolulc.maps.encoding import ENCODINGS, Encoding
from geolulc.maps.header import MapBlock, MapHeader
from geolulc.maps.ranking import NO_PRESENCE, Ranked, doubt, frequency_entropy, present_classes
from geolulc.maps.tally import MapTotals
from geolulc.nomenclature import Codes, LandCoverClass
from geolulc.outputs.files import MapKind, outputs_of
from geolulc.outputs.legends import (
    class_entries,
    count_entries,
    distance_entries,
    entropy_entries,
    observation_entries,
    probability_entries,
)
from geolulc.outputs.qgis_styles import paletted_style, ramp_style
from geolulc.outputs.rasters import Band, RasterPlan

#: The number of most probable classes that are ranked: those of the output ``top3``.
DEPTH: Final = 3
#: The number of classes present, the first band of ``presence``.
COUNT_BAND: Final = "Number of classes present"
#: Cells along a block of the files: mosaics read maps in such blocks, cells of many maps at once.
_CELL_BLOCK, _PIXEL_BLOCK = 256, 512
_BINARY: Final = (
    "mean binary entropy of the classes in bits: 0 sure, 1 each class as likely there as not"
)
_MIXTURE: Final = (
    "entropy of the cover fractions, as a share of the highest possible: 0 one class covers the "
    "cell, 1 all cover the same share; how mixed the cell is, not how unsure the model"
)
_MEANINGS: Final = {
    "Margin": "highest less second highest {}: near 0 the {} class is a close call",
    "Valid share": "share of the cell's patch in which all bands have data",
    "Clear share": "share of the cell's patch that no masked class of the scene classification "
    "covers",
}
_DISTANCE: Final = (
    "Mahalanobis distance of the patch's mean reflectances from those of the training, 1 at the "
    "99th percentile of the training's own patches"
)
_RELATIVE: Final = (
    "mean binary entropy of the classes, relative to that of the class frequencies of the training "
    "({:.3f} bits): 0 sure, 1 no surer than these frequencies alone"
)
_AGREEMENT: Final = (
    "1 - 2 × weighted standard deviation of the probability between observations: 1 they agree, "
    "0 they could not differ more; no data where there is one only"
)


@dataclass(frozen=True)
class RankedBlock:
    """A block of cells with everything that a layer needs.

    Attributes:
        header: the map.
        block: its cells.
        ranked: the most probable classes of the cells.
        encoding: of the probabilities in the file.
    """

    header: MapHeader
    block: MapBlock
    ranked: Ranked
    encoding: Encoding

    @cached_property
    def shares(self) -> NDArray[np.float32]:
        """The probabilities: float32 (class, rows, columns), NaN for no data."""
        return self.block.shares


@dataclass(frozen=True)
class Layer:
    """A raster of a map.

    Attributes:
        values: a block of cells → (band, rows, columns) in the raster's encoding.
        bands: the first block of a map → a ``Band`` for each band.
        style: the whole map → the text of the .qml.
        encoding: type and nodata value; None for those of the probabilities, or a function of
            the first block.
        overviews: resampling of overviews: "AVERAGE", "MODE" or "NEAREST".
        colored: the values are class codes and get a colour table.
    """

    values: Callable[[RankedBlock], NDArray[Any]]
    bands: Callable[[RankedBlock], Sequence[Band]]
    style: Callable[[MapTotals], str]
    encoding: Encoding | Callable[[RankedBlock], Encoding] | None = None
    overviews: str = "AVERAGE"
    colored: bool = False

    def plan(self, first: RankedBlock) -> RasterPlan:
        """The layout of the raster, from the first block of the map."""
        header = first.header
        encoding = self.encoding(first) if callable(self.encoding) else self.encoding
        encoding = encoding or first.encoding
        return RasterPlan(
            header.grid,
            self.bands(first),
            encoding.dtype,
            encoding.nodata,
            self.overviews,
            {c.code: c.rgb for c in header.land_cover} if self.colored else None,
            _PIXEL_BLOCK if header.exclusive else _CELL_BLOCK,
        )


def probabilities(cells: RankedBlock) -> NDArray[Any]:
    """The probabilities of all classes in the encoding of the file."""
    if cells.block.probabilities.dtype.name == cells.encoding.dtype:
        return cells.block.probabilities
    return cells.encoding.encode(cells.shares)


def _probability_bands(cells: RankedBlock) -> list[Band]:
    header = cells.header
    bands = []
    for c, threshold in zip(header.land_cover, header.presence_thresholds, strict=True):
        tags = {"CLASS_CODE": str(c.code), "CLASS_SHORT_NAME": c.short, "COLOR": c.color}
        if not header.exclusive:
            tags["THRESHOLD"] = f"{threshold:.6g}"
        bands.append(Band(c.name, tags, cells.encoding.scale))
    return bands


def codes(cells: RankedBlock) -> Codes:
    """The code of the most probable class: (1, rows, columns)."""
    return cells.ranked.dominant(cells.header)[None]


def confidence(cells: RankedBlock) -> NDArray[Any]:
    """The probability of the most probable class, encoded as in the block: (1, rows, columns)."""
    return cells.ranked.probabilities[:1]


def everything(cells: RankedBlock) -> NDArray[np.float32]:
    """Probabilities, then valid and clear share; NaN where one is not known: float32."""
    unknown = np.full(cells.block.shape, np.nan, np.float32)
    shares = [unknown if s is None else s for s in (cells.block.valid, cells.block.clear)]
    return np.concatenate([cells.shares, np.stack(shares)])


def _presence(cells: RankedBlock) -> NDArray[np.uint8]:
    present = present_classes(cells.header, cells.shares)
    count = np.where(cells.ranked.mapped, (present == 1).sum(axis=0), NO_PRESENCE)
    return np.concatenate([count.astype(np.uint8)[None], present])


def _presence_bands(cells: RankedBlock) -> list[Band]:
    header = cells.header
    limits = [{"THRESHOLD": f"{threshold:.6g}"} for threshold in header.presence_thresholds]
    return [Band(COUNT_BAND), *map(_class_band, header.land_cover, limits)]


def _uncertainty(cells: RankedBlock) -> NDArray[np.float32]:
    block = cells.block
    unsure = doubt(cells.header, cells.shares)
    unknown = np.full(block.shape, np.nan, np.float32)
    layers = [unsure, cells.ranked.margin, unknown if block.valid is None else block.valid]
    if block.clear is not None:
        layers.append(block.clear)
    return np.stack(layers).astype(np.float32)


def _uncertainty_bands(cells: RankedBlock) -> list[Band]:
    header, alone = cells.header, frequency_entropy(cells.header)
    entropy = _MIXTURE if header.fractions else _BINARY
    if alone is not None:
        entropy = _RELATIVE.format(alone)
    meanings = {"Entropy": entropy, **_MEANINGS}
    words = header.unit.value, header.unit.first
    bands = [Band(name, {"MEANING": text.format(*words)}) for name, text in meanings.items()]
    return bands if cells.block.clear is not None else bands[:-1]


def _top3(cells: RankedBlock) -> Codes:
    ranked = cells.ranked
    best = cells.header.codes[ranked.index]
    best[ranked.probabilities == 0] = cells.header.no_class
    values = np.concatenate([best, ranked.probabilities.astype(best.dtype, copy=False)])
    values[:, ~ranked.mapped] = np.iinfo(best.dtype).max
    return values


def _top3_bands(cells: RankedBlock) -> list[Band]:
    ranks = ("first", "second", "third")[: len(cells.header.classes)]
    meaning = {"MEANING": f"class code; {cells.header.no_class} = none"}
    return [Band(f"{rank.capitalize()} class", meaning) for rank in ranks] + [
        Band(f"Probability of the {rank} class", {}, cells.encoding.scale) for rank in ranks
    ]


def _known(values: NDArray[Any] | None, name: str) -> NDArray[Any]:
    if values is None:
        raise ValueError(f"a block of a mosaic without {name}")
    return values


def _unlikeness(cells: RankedBlock) -> NDArray[np.float32]:
    found = cells.block.unlikeness
    if found is None:
        raise OutputError(
            "output domain",
            found="several models, or one without a record of what it learned from",
            expected="one model that knows the spectra of its training",
            remedy="Leave domain out of the --outputs, or add the record: geolulc models record.",
        )
    return np.where(cells.ranked.mapped, found, np.float32(np.nan))[None]


def _class_band(land_cover: LandCoverClass, tags: Mapping[str, str]) -> Band:
    return Band(land_cover.name, {"CLASS_CODE": str(land_cover.code), **tags})


def _class_style(totals: MapTotals) -> str:
    return paletted_style(class_entries(totals.header.land_cover))


def _probability_style(totals: MapTotals) -> str:
    """The style of one band: that of the class with the highest mean probability."""
    means = np.nan_to_num([s.mean_probability for s in totals.summaries])
    return ramp_style(probability_entries(), band=1 + int(means.argmax()))


def _entropy_style(totals: MapTotals) -> str:
    return ramp_style(entropy_entries(totals.header))


def _coded(cells: RankedBlock) -> Encoding:
    return Encoding(cells.header.codes.dtype.name, 1.0, cells.header.no_class)


def _ranked(cells: RankedBlock) -> Encoding:
    """Codes and probabilities; the highest value of their type is neither."""
    dtype = cells.header.codes.dtype
    return Encoding(dtype.name, 1.0, np.iinfo(dtype).max)


_FRACTIONS: Final = ENCODINGS["float32"]

PROBABILITIES: Final = Layer(probabilities, _probability_bands, _probability_style)
CLASSES: Final = Layer(
    codes,
    lambda cells: [Band(cells.header.unit.title)],
    _class_style,
    _coded,
    "MODE",
    colored=True,
)
PRESENCE: Final = Layer(
    _presence,
    _presence_bands,
    lambda _: ramp_style(count_entries(), discrete=True),
    Encoding("uint8", 1.0, NO_PRESENCE),
    "NEAREST",
)
UNCERTAINTY: Final = Layer(_uncertainty, _uncertainty_bands, _entropy_style, _FRACTIONS)
OBSERVATIONS: Final = Layer(
    lambda cells: _known(cells.block.count, "count")[None],
    lambda _: [Band("Number of observations", {"MEANING": "maps that were combined here"})],
    lambda totals: ramp_style(observation_entries(totals.figures.most_observations)),
    Encoding("uint16", 1.0, 0),
    "NEAREST",
)
DOMAIN: Final = Layer(
    _unlikeness,
    lambda _: [Band("Distance from the training", {"MEANING": _DISTANCE})],
    lambda _: ramp_style(distance_entries()),
    _FRACTIONS,
)
CONFIDENCE: Final = Layer(
    confidence,
    lambda cells: [Band("Probability of the class", scale=cells.encoding.scale)],
    lambda _: ramp_style(probability_entries()),
)
AGREEMENT: Final = Layer(
    lambda cells: _known(cells.block.agreement, "agreement"),
    lambda cells: [_class_band(c, {"MEANING": _AGREEMENT}) for c in cells.header.land_cover],
    _probability_style,
    _FRACTIONS,
)
# codes cannot be averaged, and a mean would not be the probability of the code shown
TOP3: Final = Layer(_top3, _top3_bands, _class_style, _ranked, "NEAREST")


def map_layers(kind: MapKind, parts: Container[str]) -> dict[str, Layer]:
    """Output → layer, for each raster of a map of ``kind`` that is among ``parts``."""
    return {
        output.name: resolve_name(output.layer)
        for output in outputs_of(kind)
        if output.layer and output.name in parts
    }
