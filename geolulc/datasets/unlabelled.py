"""Patches without labels, cut from scenes and stacks of GeoTIFFs, side by side from the corner.

The last row and column move inside, as on a map's grid (``grid.py``): nothing is left out. Digital
numbers are stored as those of BigEarthNet are: without offset, 0 where there is no data, at least 1
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from geolulc.bands import BAND_NAMES, GROUPS
from geolulc.datasets.entries import Entry, season_of
from geolulc.datasets.ground import BLOCKS, split_of_block
from geolulc.datasets.patch import BIGEARTHNET, Patch
from geolulc.datasets.stacks import Stack, is_stack, open_stack
from geolulc.errors import DatasetError
from geolulc.grid import PATCH_SIZE
from geolulc.products import Image, Scene, find_door, open_scene
from geolulc.products.radiometry import reflectance_dn

#: ``Patch.dataset`` of such patches.
UNLABELLED_DATASET: Final = "unlabelled"


class _Source(Protocol):
    """What patches are cut from."""

    def cut(self, top: int, left: int) -> dict[int, NDArray[np.uint16]]:
        """The pixels of a patch so many metres from the corner, as ``Patch.dn`` has them."""


def is_source(path: Path) -> bool:
    """Whether ``path`` looks like a scene or a stack, not like an archive."""
    return is_stack(path) or find_door(path) is not None


def list_patches(path: Path, split: str) -> tuple[str, tuple[Entry, ...]]:
    """Processing level and patches of a scene or stack; ``split`` is of all of them, or "blocks".

    Raises:
        DatasetError: it is smaller than a patch.
        ProductError: a scene that cannot be used.
    """
    place = _place(path)
    if min(place.height, place.width) < PATCH_SIZE:
        raise DatasetError(
            path,
            found=f"{place.width} m × {place.height} m",
            expected=f"at least a patch of {PATCH_SIZE} m",
            remedy="Give a larger image.",
        )
    return place.level, tuple(
        Entry(
            name=f"{place.name}_{row:02d}_{column:02d}",
            dataset=UNLABELLED_DATASET,
            place=(top, left),
            split=split,
            country=None,
            season=season_of(place.date) if place.date else None,
            snow=None,
            cloud=None,
        )
        for row, top in enumerate(_starts(place.height))
        for column, left in enumerate(_starts(place.width))
    )


def read_patches(path: Path, entries: Iterable[Entry]) -> Iterator[Patch]:
    """The patches of ``list_patches``, in the order of their rows; those without data are left out.

    Raises:
        ProductError, DatasetError: it cannot be read.
    """
    place = _place(path)
    with ExitStack() as opened:
        source: _Source
        if is_stack(path):
            source = open_stack(path)
        else:
            scene = open_scene(path)
            images = opened.enter_context(scene.opened(BAND_NAMES))
            source = _SceneSource(scene, images)
        for entry in entries:
            top, left = (int(n) for n in entry.place)
            dn = source.cut(top, left)
            if not any(group.any() for group in dn.values()):
                continue
            x, y, split = place.left + left, place.top - top, entry.split
            yield Patch(
                key=entry.name,
                dataset=UNLABELLED_DATASET,
                dn=dn,
                labels=(),
                ben19=(),
                clc43=None,
                country=None,
                season=entry.season,
                date=place.date,
                tile=place.tile,
                crs=place.crs,
                left=x,
                top=y,
                split=split_of_block(place.crs, x, y) if split == BLOCKS else split,
            )


def _starts(side: int) -> list[int]:
    """Metres from the corner at which patches start along a side."""
    return [min(at, side - PATCH_SIZE) for at in range(0, side, PATCH_SIZE)]


@dataclass(frozen=True)
class _Place:
    name: str
    level: str
    date: str
    tile: str | None
    crs: str
    left: float
    top: float
    width: int
    height: int


def _place(path: Path) -> _Place:
    if is_stack(path):
        stack: Stack = open_stack(path, pixels=False)
        return _Place(
            stack.name, stack.level, stack.date, None, stack.crs, stack.left, stack.top, *stack.size
        )
    scene = open_scene(path)
    grid, facts = scene.grid, scene.facts
    date = facts["sensing_time"][:19]
    ground = grid.crs, grid.left, grid.top, grid.width, grid.height
    return _Place(scene.name, scene.level, date, facts["tile"], *ground)


class _SceneSource:
    """Patches of an opened scene; each tile of an image is decoded once if rows follow in order."""

    def __init__(self, scene: Scene, images: Mapping[str, Image]) -> None:
        self._offsets = scene.offsets
        self._images = images
        self._tiles: dict[str, dict[tuple[int, int], NDArray[np.uint16]]] = {n: {} for n in images}

    def cut(self, top: int, left: int) -> dict[int, NDArray[np.uint16]]:
        """The pixels of a patch so many metres from the corner, by resolution."""
        found = {}
        for resolution, names in GROUPS.items():
            side = PATCH_SIZE // resolution
            group = np.empty(BIGEARTHNET.shapes[resolution], np.uint16)
            for channel, name in enumerate(names):
                at = top // resolution, left // resolution
                dn = self._window(name, *at, side).astype(np.int32)
                shifted = np.maximum(reflectance_dn(dn, self._offsets[name]), 1)
                group[channel] = np.where(dn == 0, 0, shifted)
            found[resolution] = group
        return found

    def _window(self, name: str, top: int, left: int, side: int) -> NDArray[np.uint16]:
        tiling, tiles = self._images[name].tiling, self._tiles[name]
        high, wide = tiling.tile_shape
        for above in [at for at in tiles if at[0] < top // high]:
            del tiles[above]
        out = np.empty((side, side), np.uint16)
        for row in range(top // high, (top + side - 1) // high + 1):
            for column in range(left // wide, (left + side - 1) // wide + 1):
                if (row, column) not in tiles:
                    rows, columns = tiling.rows(row), tiling.columns(column)
                    shape = rows.stop - rows.start, columns.stop - columns.start
                    tiles[row, column] = np.empty(shape, np.uint16)
                    self._images[name].read(row, column, tiles[row, column])
                tile = tiles[row, column]
                at = row * high - top, column * wide - left
                rows, columns = (
                    slice(max(start, 0), min(start + n, side))
                    for start, n in zip(at, tile.shape, strict=True)
                )
                out[rows, columns] = tile[
                    rows.start - at[0] : rows.stop - at[0],
                    columns.start - at[1] : columns.stop - at[1],
                ]
        return out
