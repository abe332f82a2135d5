"""Patches cut from a scene where labels lie: each of its image tiles is decoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geolulc.bands import BAND_NAMES, GROUPS
from geolulc.datasets import UNLABELLED, Patch
from geolulc.datasets.entries import season_of
from geolulc.grid import PATCH_SIZE, MapGrid
from geolulc.labelling.burning import CONTESTED, PIXEL, Burnt, PlacedLabels, add_counts
from geolulc.labelling.folds import split_of
from geolulc.labelling.options import LabelOptions
from geolulc.mapping.quality import clear_pixels, valid_pixels
from geolulc.mapping.strips import Strip, StripReader
from geolulc.mapping.workers import Workers
from geolulc.nomenclature import Nomenclature
from geolulc.products import CLASSIFICATION, Scene
from geolulc.progress import Progress

#: ``dataset`` of such patches.
DATASET: Final = "labels"
_PIXELS: Final = PATCH_SIZE // PIXEL


@dataclass
class Tally:
    """What became of labelled pixels, over all scenes.

    Attributes:
        pixels: (class, fold) → labelled pixels in patches.
        lost: reason → pixels that features claim and that have no label.
        patches: by scene.
    """

    pixels: Counter[tuple[int, int]] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    patches: Counter[str] = field(default_factory=Counter)


def find_labels(
    scene: Scene, labels: PlacedLabels, counts: dict[tuple[int, int], int], classes: int
) -> NDArray[np.bool_]:
    """The patches of a scene with a label, bool (row, column); ``counts`` as ``add_counts``."""
    grid = MapGrid(scene.grid)
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


def cut_patches(
    scene: Scene,
    labels: PlacedLabels,
    selected: NDArray[np.bool_],
    classes: Nomenclature,
    folds: NDArray[np.int32],
    options: LabelOptions,
    tally: Tally,
    workers: Workers,
    progress: Progress | None = None,
) -> Iterator[Patch]:
    """The patches of a scene at ``selected`` cells: one for each fold that has labels in it.

    Args:
        scene: any.
        labels: on its ground.
        selected: bool (row, column) of a grid of patches.
        classes: of the labels.
        folds: of each place.
        options: how pixels are masked.
        tally: is added to.
        workers: that decode.
        progress: called with (rows of patches done, rows in all).

    Raises:
        ProductError: an image is missing or damaged.
    """
    grid = MapGrid(scene.grid)
    names = [*BAND_NAMES]
    if CLASSIFICATION in scene.images and options.mask_scl:
        names.append(CLASSIFICATION)
    codes = np.array([c.code for c in classes.classes], np.uint16)
    done = 0
    with (
        scene.opened(names, verify=options.verify) as images,
        StripReader(images, GROUPS, grid, workers, selected=selected) as reader,
    ):
        for row in reader.rows:
            strip = reader.read(row)
            burnt = _masked(strip, labels, grid, row, options, tally, folds)
            for column in np.flatnonzero(selected[row]):
                yield from _patches(
                    scene, grid, row, int(column), strip, burnt, codes, classes, folds, options,
                    tally,
                )  # fmt: skip
            done += 1
            if progress is not None:
                progress(done, len(reader.rows))


def _own_rows(grid: MapGrid, row: int) -> tuple[int, int]:
    """Pixel rows of the cells in ``row``; the last cells may be cut, and their patch is not."""
    return row * _PIXELS, min((row + 1) * _PIXELS, grid.tile.height // PIXEL)


def _masked(
    strip: Strip,
    labels: PlacedLabels,
    grid: MapGrid,
    row: int,
    options: LabelOptions,
    tally: Tally,
    folds: NDArray[np.int32],
) -> Burnt:
    """Labels of the strip's pixels, none where the ground is hidden; in its own cells only."""
    top = grid.patch_top(row) // PIXEL
    first, last = _own_rows(grid, row)
    own = labels.strip(first, last, folds)
    positions = own.positions
    seen = valid_pixels(strip.dn)[first - top : last - top]
    tally.lost["contested"] += int((positions == CONTESTED).sum())
    tally.lost["without data"] += int((positions[~seen] >= 0).sum())
    if strip.scl is not None:
        clear = clear_pixels(strip.scl, options.mask_scl, PIXEL)[first - top : last - top]
        tally.lost["under clouds or other masked classes"] += int(
            (positions[seen & ~clear] >= 0).sum()
        )
        seen &= clear
    kept = seen & (positions >= 0) & (folds[own.places] >= 0)
    height, width = strip.dn[PIXEL].shape[1:]
    whole, places = (np.full((height, width), -1, np.int32) for _ in range(2))
    whole[first - top : last - top] = np.where(kept, positions, -1)
    places[first - top : last - top] = own.places
    return Burnt(whole, places)


def _patches(
    scene: Scene,
    grid: MapGrid,
    row: int,
    column: int,
    strip: Strip,
    burnt: Burnt,
    codes: NDArray[np.uint16],
    classes: Nomenclature,
    folds: NDArray[np.int32],
    options: LabelOptions,
    tally: Tally,
) -> Iterator[Patch]:
    left = grid.patch_left(column)
    window = slice(left // PIXEL, left // PIXEL + _PIXELS)
    positions = burnt.positions[:, window].copy()
    positions[
        :, : column * _PIXELS - window.start
    ] = -1  # the last patch reaches into its neighbour
    known = positions >= 0
    if not known.any():
        tally.patches["hidden"] += 1
        return
    of_pixels = np.where(known, folds[burnt.places[:, window]], -1)
    dn = {
        resolution: np.stack(
            [
                reflecting(band, scene.offsets[name])
                for name, band in zip(
                    names,
                    strip.dn[resolution][
                        :, :, left // resolution : (left + PATCH_SIZE) // resolution
                    ],
                    strict=True,
                )
            ]
        )
        for resolution, names in GROUPS.items()
    }
    date = scene.facts.get("sensing_time", "")
    for fold in np.unique(of_pixels[known]).tolist():
        mine = np.where(of_pixels == fold, positions, -1)
        present = np.unique(mine[mine >= 0])
        for c, count in zip(*np.unique(mine[mine >= 0], return_counts=True), strict=True):
            tally.pixels[int(c), fold] += int(count)
        tally.patches[scene.name] += 1
        yield Patch(
            key=f"{scene.name}_{fold}_{row:03d}_{column:03d}",
            dataset=DATASET,
            dn=dn,
            labels=tuple(classes.names[c] for c in present),
            ben19=(),
            clc43=None,
            country=None,
            season=season_of(date) if date else None,
            date=date,
            tile=scene.facts.get("tile"),
            crs=scene.grid.crs,
            left=scene.grid.left + left,
            top=scene.grid.top - grid.patch_top(row),
            split=split_of(fold, folds=options.folds),
            fold=fold,
            reference=np.where(mine >= 0, codes[mine], UNLABELLED).astype(np.uint16),
        )


def reflecting(dn: NDArray[np.uint16], offset: int) -> NDArray[np.uint16]:
    """Digital numbers without an offset, in 1/10000 of reflectance, uint16; 0 stays no data.

    Reflectance of 0 and below, which networks clip at 0, is 1.
    """
    if not offset:
        return dn
    moved = np.clip(dn.astype(np.int32) + offset, 1, np.iinfo(np.uint16).max)
    return np.where(dn == 0, 0, moved).astype(np.uint16)
