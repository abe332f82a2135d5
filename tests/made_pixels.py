"""Stores whose patches have reference maps: cut from the landscapes of the example generator."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from made_archives import COUNTRIES, SEASONS, make_patch, make_store
from make_archive import Scene, landscape_scene
from numpy.typing import NDArray

from geolulc.bands import GROUPS
from geolulc.datasets.patch import Patch
from geolulc.nomenclature import BEN19, IGNORED

#: Patches along each side of a landscape.
SIDE = 3


@cache
def made_scene(seed: int) -> Scene:
    """A landscape of 3.6 km."""
    return landscape_scene(seed, size=1200 * SIDE)


def made_pixel_patch(index: int, *, seed: int = 0, split: str = "train") -> Patch:
    """Patch ``index`` with its reference map; every nine come from another landscape."""
    scene = made_scene(seed + index // SIDE**2)
    row, column = divmod(index % SIDE**2, SIDE)

    def window(pixels: NDArray[np.uint16], resolution: int) -> NDArray[np.uint16]:
        n = 1200 // resolution
        return pixels[row * n : (row + 1) * n, column * n : (column + 1) * n]

    codes = window(scene.codes, 10).copy()
    codes[:4] = 122  # roads: a code without a class
    present = set(np.unique(BEN19.positions_of_clc(codes)).tolist()) - {IGNORED}
    labels = tuple(BEN19.names[p] for p in sorted(present))
    fields = {name: getattr(made, name) for made in [make_patch(index)] for name in _FIELDS}
    return Patch(
        **fields,
        dn={
            r: np.stack([window(scene.bands[name], r) for name in names])
            for r, names in GROUPS.items()
        },
        labels=labels,
        ben19=labels,
        clc43=None,
        country=COUNTRIES[index % len(COUNTRIES)],
        season=SEASONS[index % len(SEASONS)],
        split=split,
        reference=codes,
    )


#: What a patch has in common with those of ``made_archives``.
_FIELDS = ("key", "dataset", "date", "tile", "crs", "left", "top", "snow", "cloud", "v1_name")


def make_pixel_store(folder: Path, *, train: int = 8, val: int = 4, test: int = 4) -> Path:
    """A store of so many patches with reference maps, from landscapes that differ by split."""
    splits = ["train"] * train + ["val"] * val + ["test"] * test

    def patch(index: int) -> Patch:
        split = splits[index]
        return made_pixel_patch(index, seed=10 * ("train", "val", "test").index(split), split=split)

    return make_store(folder, len(splits), patch=patch)
