"""Patches cut from a scene where labels lie: each of its image tiles is decoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.bands import BAND_NAMES, GROUPS
from geolulc.datasets import BIGEARTHNET, UNLABELLED, Patch
from geolulc.datasets.entries import season_of
from geolulc.errors import ProductError
from geolulc.grid import PATCH_SIZE, MapGrid
from geolulc.labelling.burning import CONTESTED, PIXEL, Burnt, PlacedLabels, add_counts
from geolulc.labelling.folds import split_of
from geolulc.labelling.options import LabelOptions
from geolulc.mapping.quality import clear_pixels, valid_pixels
from geolulc.mapping.strips import Strip, StripReader
from geolulc.mapping.workers import Workers
from geolulc.nomenclature import Nomenclature
from geolulc.products import CLASSIFICATION, Scene, patches_of
from geolulc.progress import Progress

#: ``dataset`` of such patches.
DATASET: Final = "labels"
_PIXELS: Final = PATCH_SIZE // PIXEL
#: UTM zones of the south, where the names of the seasons are others.
_SOUTHERN: Final = "EPSG:327"


@dataclass
class Tally:
    """What became of labelled pixels, over all scenes.

    Attributes:
        pixels: (class, fold) → labelled pixels in patches.
        lost: reason → pixels that features claim and that have no label.
        patches: by scene.
        hidden: patches of which no label was left.
    """

    pixels: Counter[tuple[int, int]] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    patches: Counter[str] = field(default_factory=Counter)
    hidden: int = 0


def find_labels(
    scene: Scene, labels: PlacedLabels, counts: dict[tuple[int, int], int], classes: int
) -> NDArray[np.bool_]:
    """The patches of a scene with a label, bool (row, column); ``counts`` as ``add_counts``."""
    grid = patches_of(scene)
    rows, columns = grid.shape
    found = np.zeros((rows, columns), bool)
    for row in range(rows):
        first, last = _own_rows(grid, row)
        burnt = labels.strip(first, last, None)
        add_counts(counts, burnt, classes)
        known = (burnt.positions >= 0).any(axis=0)
        starts = np.arange(columns) * _PIXELS
        found[row] = np.logical_or.reduceat(known, starts)
    return found


class Cutter:
    """Cuts patches from one scene after the other.

    Attributes:
        tally: what became of labelled pixels so far.
        missing: names of bands that a scene lacks, in the order of ``BAND_NAMES``.
    """

    def __init__(
        self, classes: Nomenclature, folds: NDArray[np.int32], options: LabelOptions
    ) -> None:
        """Labels are of ``classes``, their places in ``folds``, int32 (places,)."""
        self.tally = Tally()
        self.missing: list[str] = []
        self._classes, self._folds, self._options = classes, folds, options
        self._codes = np.array([c.code for c in classes.classes], np.uint16)

    def cut(
        self,
        scene: Scene,
        labels: PlacedLabels,
        selected: NDArray[np.bool_],
        workers: Workers,
        progress: Progress | None = None,
    ) -> Iterator[Patch]:
        """The patches of a scene at ``selected`` cells: one for each fold that has labels in it.

        Bands that the scene lacks have no data (0).

        Args:
            scene: with a band of 10 m at least.
            labels: on its ground.
            selected: bool (row, column) of a grid of patches.
            workers: that decode.
            progress: called with (rows of patches done, rows in all).

        Raises:
            ProductError: no band of 10 m, or a damaged image.
        """
        bands = self._bands_of(scene)
        names = [name for group in bands.values() for name in group]
        if CLASSIFICATION in scene.images and self._options.mask_scl:
            names.append(CLASSIFICATION)
        grid = patches_of(scene)
        with (
            scene.opened(names, verify=self._options.verify) as images,
            StripReader(images, bands, grid, workers, selected=selected) as reader,
        ):
            for done, row in enumerate(reader.rows, start=1):
                strip = reader.read(row)
                burnt = self._seen(strip, labels, grid)
                for column in np.flatnonzero(selected[row]).tolist():
                    yield from self._patches(scene, grid, column, strip, bands, burnt)
                if progress is not None:
                    progress(done, len(reader.rows))

    def _bands_of(self, scene: Scene) -> dict[int, list[str]]:
        """Resolution → the bands that the scene has."""
        found = {r: [n for n in names if n in scene.images] for r, names in GROUPS.items()}
        if not found[PIXEL]:
            raise ProductError(
                scene.path,
                found=f"no band of {PIXEL} m",
                expected="the pixels that get labels",
                remedy="Give a scene with B02, B03, B04 or B08.",
            )
        there = {name for names in found.values() for name in names} - {*self.missing}
        self.missing = [name for name in BAND_NAMES if name not in there]
        return {resolution: names for resolution, names in found.items() if names}

    def _seen(self, strip: Strip, labels: PlacedLabels, grid: MapGrid) -> Burnt:
        """Labels of the strip's pixels, none where the ground is hidden; in its own cells only."""
        top, row = grid.patch_top(strip.row) // PIXEL, strip.row
        first, last = _own_rows(grid, row)
        own = labels.strip(first, last, self._folds)
        positions = own.positions
        seen = valid_pixels(strip.dn)[first - top : last - top]
        lost = self.tally.lost
        lost["contested"] += int((positions == CONTESTED).sum())
        lost["without data"] += int((positions[~seen] >= 0).sum())
        if strip.scl is not None:
            clear = clear_pixels(strip, self._options.mask_scl, PIXEL)[first - top : last - top]
            hidden = int((positions[seen & ~clear] >= 0).sum())
            lost["under clouds or other masked classes"] += hidden
            seen &= clear
        kept = seen & (positions >= 0) & (self._folds[own.places] >= 0)
        whole, places = (np.full(strip.dn[PIXEL].shape[1:], -1, np.int32) for _ in range(2))
        whole[first - top : last - top] = np.where(kept, positions, -1)
        places[first - top : last - top] = own.places
        return Burnt(whole, places)

    def _patches(
        self,
        scene: Scene,
        grid: MapGrid,
        column: int,
        strip: Strip,
        bands: Mapping[int, Sequence[str]],
        burnt: Burnt,
    ) -> Iterator[Patch]:
        left = grid.patch_left(column)
        window = slice(left // PIXEL, left // PIXEL + _PIXELS)
        positions = burnt.positions[:, window].copy()
        # the last patch reaches into its neighbour
        positions[:, : column * _PIXELS - window.start] = -1
        known = positions >= 0
        if not known.any():
            self.tally.hidden += 1
            return
        of_pixels = np.where(known, self._folds[burnt.places[:, window]], -1)
        dn = _reflecting_dn(scene, strip, bands, left)
        date = scene.facts.get("sensing_time", "")
        southern = scene.grid.crs.startswith(_SOUTHERN)
        for fold in np.unique(of_pixels[known]).tolist():
            mine = np.where(of_pixels == fold, positions, -1)
            present, counts = np.unique(mine[mine >= 0], return_counts=True)
            for position, count in zip(present.tolist(), counts.tolist(), strict=True):
                self.tally.pixels[position, fold] += count
            self.tally.patches[scene.name] += 1
            yield Patch(
                key=f"{scene.name}_{fold}_{strip.row:03d}_{column:03d}",
                dataset=DATASET,
                dn=dn,
                labels=tuple(self._classes.names[position] for position in present),
                ben19=(),
                clc43=None,
                country=None,
                season=season_of(date) if date and not southern else None,
                date=date,
                tile=scene.facts.get("tile"),
                crs=scene.grid.crs,
                left=scene.grid.left + left,
                top=scene.grid.top - grid.patch_top(strip.row),
                split=split_of(fold, folds=self._options.folds),
                fold=fold,
                reference=np.where(mine >= 0, self._codes[mine], UNLABELLED).astype(np.uint16),
            )


def _own_rows(grid: MapGrid, row: int) -> tuple[int, int]:
    """Pixel rows of the cells in ``row``; the last cells may be cut, and their patch is not."""
    return row * _PIXELS, min((row + 1) * _PIXELS, grid.tile.height // PIXEL)


def _reflecting_dn(
    scene: Scene, strip: Strip, bands: Mapping[int, Sequence[str]], left: int
) -> dict[int, NDArray[np.uint16]]:
    """The pixels of a patch ``left`` metres from the scene's edge, as of ``Patch.dn``."""
    found = {r: np.zeros(shape, np.uint16) for r, shape in BIGEARTHNET.shapes.items()}
    for resolution, names in bands.items():
        columns = slice(left // resolution, (left + PATCH_SIZE) // resolution)
        for name, band in zip(names, strip.dn[resolution], strict=True):
            place = GROUPS[resolution].index(name)
            found[resolution][place] = reflecting(band[:, columns], scene.offsets[name])
    return found


def reflecting(dn: NDArray[np.uint16], offset: int) -> NDArray[np.uint16]:
    """Digital numbers without an offset, in 1/10000 of reflectance, uint16; 0 stays no data.

    Reflectance of 0 and below, which networks clip at 0, is 1.
    """
    if not offset:
        return dn
    moved = np.clip(dn.astype(np.int32) + offset, 1, np.iinfo(np.uint16).max)
    return np.where(dn == 0, 0, moved).astype(np.uint16)
