"""A map: its header, and the blocks of cells that flow from mapping and mosaics to the files.

A map of cells and a map of pixels are the same thing. They differ in ``MapHeader.exclusive``: the
classes of a pixel exclude each other, so that its probabilities add up to 1, while several classes
can be present in a cell. In a map of cover fractions (``MapHeader.fractions``) the classes share
the ground of a cell: what is called probabilities are the shares, which add up to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolulc.grid import Extent, Grid
from geolulc.maps.encoding import ENCODINGS
from geolulc.maps.unit import CELLS, FRACTIONS, PIXELS, MapUnit
from geolulc.nomenclature import Codes, LandCoverClass, Nomenclature

#: Presence threshold of a map whose model brings none.
DEFAULT_THRESHOLD = 0.5
#: Key of ``MapHeader.model``: what probabilities are the means of, where they are.
AVERAGED = "averaged"
#: Key of ``MapHeader.model``: the largest shifts of logits by a geographic prior, in words.
PRIOR = "prior"


@dataclass(frozen=True)
class MapHeader:
    """A map without its cells.

    Attributes:
        grid: where the cells are.
        classes: names, in the order of a block's probabilities, as in ``nomenclature``.
        nomenclature: the classes, with codes and colours.
        exclusive: a cell has one class, and its probabilities add up to 1; False: each class may
            be present or not.
        fractions: of cells: ``probabilities`` are the shares of a cell's ground that the classes
            cover; they add up to 1, and times the areas of the cells they are areas.
        patch_size: side in metres of the ground that a network saw of a cell; None for pixels,
            of which it saw all surroundings.
        thresholds: a class is present in a cell where its probability (or fraction) reaches
            this; () for ``DEFAULT_THRESHOLD``.
        scene: the source of the map: "name", "sensing_time", "baseline", "platform", "tile"…
        model: the model that made it: "name", "sha256", ``AVERAGED``, ``PRIOR``…
        masked_scl: codes of the scene classification that were made nodata; () for none.
        min_clear: cells with a smaller clear share have no data; 0 for none.
        frequencies: share of the training patches that have each class: what a model knows
            before it sees a patch; () where that is not known, and of pixels.
    """

    grid: Grid
    classes: tuple[str, ...]
    nomenclature: Nomenclature
    exclusive: bool = False
    fractions: bool = False
    patch_size: int | None = None
    thresholds: tuple[float, ...] = ()
    scene: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, str] = field(default_factory=dict)
    masked_scl: tuple[int, ...] = ()
    min_clear: float = 0.0
    frequencies: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("thresholds", "frequencies"):
            count = len(getattr(self, name))
            if count not in (0, len(self.classes)):
                raise ValueError(f"{count} {name} for {len(self.classes)} classes")
        if self.exclusive and self.fractions:
            raise ValueError("a pixel has one class, and no fractions")

    @property
    def unit(self) -> MapUnit:
        """Cells, cover fractions or pixels, in words."""
        if self.exclusive:
            return PIXELS
        return FRACTIONS if self.fractions else CELLS

    @property
    def adds_up(self) -> bool:
        """Whether the values of a cell add up to 1, so that areas of classes add up to the map."""
        return self.exclusive or self.fractions

    @property
    def land_cover(self) -> tuple[LandCoverClass, ...]:
        """The classes with code and colour, in the order of the probabilities."""
        return self.nomenclature.only(self.classes).classes

    @property
    def codes(self) -> Codes:
        """uint8 or uint16 (class,): the codes of the classes."""
        return np.array([c.code for c in self.land_cover], self.nomenclature.code_type)

    @property
    def no_class(self) -> int:
        """The value of cells without data in rasters of codes; no class has it as its code."""
        return self.nomenclature.nodata

    @property
    def positions(self) -> NDArray[np.intp]:
        """intp (value,): the position in ``classes`` of each value of a raster of codes, or -1."""
        codes = self.codes
        positions = np.full(np.iinfo(codes.dtype).max + 1, -1, np.intp)
        positions[codes] = range(len(codes))
        return positions

    @property
    def presence_thresholds(self) -> NDArray[np.float32]:
        """float32 (class,): the probability at which a class counts as present."""
        if self.thresholds:
            return np.asarray(self.thresholds, np.float32)
        return np.full(len(self.classes), DEFAULT_THRESHOLD, np.float32)

    @property
    def sensing_time(self) -> datetime | None:
        """When the scene was sensed, in UTC where it names no zone; None if no time is known."""
        try:
            time = datetime.fromisoformat(self.scene.get("sensing_time", ""))
        except ValueError:
            return None
        return time if time.tzinfo else time.replace(tzinfo=UTC)


@dataclass(frozen=True)
class MapBlock:
    """A rectangle of cells of a map.

    A scene yields whole rows from top to bottom, a mosaic squares.

    Attributes:
        row, column: of the first cell, in the map.
        probabilities: (class, rows, columns): float32 in 0..1 with NaN for no data, or uint8 as
            ``ENCODINGS["uint8"]``; no data in one class is no data in all.
        valid: float32 (rows, columns): share of the ground behind a cell in which all bands have
            data; None where it is not known.
        clear: the same shape: share that no masked class of the scene classification covers;
            None where the scene classification was not used or is absent.
        count: uint16 (rows, columns): observations in a mosaic; None in the map of a scene.
        agreement: float32 (class, rows, columns): agreement of the observations on each class,
            NaN where there is one or none; None where it is not known.
        unlikeness: float32 (rows, columns): distance of the patch's spectra from the training's,
            1 at their limit (``domain.Spectra``), NaN where no patch was seen; None where the
            training's are not known.
        overflown: how many of its cells have no data because a network's numbers were too large.
    """

    row: int
    column: int
    probabilities: NDArray[np.float32] | NDArray[np.uint8]
    valid: NDArray[np.float32] | None = None
    clear: NDArray[np.float32] | None = None
    count: NDArray[np.uint16] | None = None
    agreement: NDArray[np.float32] | None = None
    unlikeness: NDArray[np.float32] | None = None
    overflown: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the block."""
        rows, columns = self.probabilities.shape[1:]
        return rows, columns

    @property
    def shares(self) -> NDArray[np.float32]:
        """The probabilities as float32, NaN for no data, in whatever encoding they are."""
        return ENCODINGS[self.probabilities.dtype.name].decode(self.probabilities)

    def part(self, rows: slice) -> MapBlock:
        """The rows of the block from ``rows.start`` to ``rows.stop``.

        ``overflown`` is known of the block alone, and goes with its first rows.
        """
        layers = {name: layer[..., rows, :] for name, layer in self._layers.items()}
        overflown = 0 if rows.start else self.overflown
        return MapBlock(self.row + rows.start, self.column, **layers, overflown=overflown)

    @property
    def _layers(self) -> dict[str, NDArray[Any]]:
        """The layers that are known: name → (…, rows, columns)."""
        names = ("probabilities", "valid", "clear", "count", "agreement", "unlikeness")
        layers = {name: getattr(self, name) for name in names}
        return {name: layer for name, layer in layers.items() if layer is not None}


def join_rows(blocks: Sequence[MapBlock]) -> MapBlock:
    """A copy of blocks that follow each other from top to bottom; all have the same layers."""
    first = blocks[0]
    layers = {
        name: np.concatenate([getattr(block, name) for block in blocks], axis=-2)
        for name in first._layers
    }
    overflown = sum(block.overflown for block in blocks)
    return MapBlock(first.row, first.column, **layers, overflown=overflown)


@dataclass(frozen=True)
class LandCoverMap:
    """A whole map in memory: its header and one block."""

    header: MapHeader
    block: MapBlock

    def __post_init__(self) -> None:
        shape, block = self.header.grid.shape, self.block
        expected = (len(self.header.classes), *shape)
        if block.probabilities.shape != expected:
            raise ValueError(
                f"probabilities have shape {block.probabilities.shape}, not {expected}"
            )
        for name in ("valid", "clear", "unlikeness"):
            layer = getattr(block, name)
            if layer is not None and layer.shape != shape:
                raise ValueError(f"{name} has shape {layer.shape}, not {shape}")

    @property
    def extent(self) -> Extent:
        """The ground of the map."""
        return self.header.grid.extent
