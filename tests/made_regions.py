"""Stores of two or three regions whose differences are known: the truth that reports must show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from made_archives import SPLITS, make_patch, make_store, v2_name
from numpy.typing import NDArray

from geolulc.bands import BAND_NAMES
from geolulc.datasets.patch import BIGEARTHNET, Patch
from geolulc.nomenclature import BEN19

#: Class → the band that it brightens. Two classes of one band can be confused.
Signals = Mapping[str, int]

#: Four classes to make regions of, and a band of its own for each.
CLASSES = tuple(BEN19.names[i] for i in (0, 1, 7, 18))
SIGNALS: Signals = dict(zip(CLASSES, (0, 4, 10, 7), strict=True))


@dataclass(frozen=True)
class MadeRegion:
    """How patches of a region are made.

    Attributes:
        name: its country.
        frequencies: class → share of the patches that carry it.
        gain: all digital numbers are multiplied by this.
        strength: by how much a class brightens its band, in DN.
        noise: standard deviation of a patch's level in each band, in DN.
        signals: class → band (of 12), for this region.
    """

    name: str
    frequencies: Mapping[str, float]
    signals: Signals
    gain: float = 1.0
    strength: float = 400.0
    noise: float = 120.0


def make_region_patch(index: int, region: MadeRegion, seed: int, split: str) -> Patch:
    """Patch ``index`` of ``region``: at least one class, levels by band with noise."""
    rng = np.random.default_rng([seed, index])
    names = list(region.frequencies)
    chances = np.array([region.frequencies[name] for name in names])
    drawn = rng.random(len(names)) < chances
    if not drawn.any():
        drawn[rng.choice(len(names), p=chances / chances.sum())] = True
    chosen = tuple(sorted(name for name, d in zip(names, drawn, strict=True) if d))
    level = 800 + rng.normal(0, region.noise, len(BAND_NAMES))
    for name in chosen:
        level[region.signals[name]] += region.strength
    patch = make_patch(index, classes=chosen, signal=False, split=split, country=region.name)
    return replace(
        patch,
        key=v2_name(index),
        dn=_filled(level * region.gain, rng),
        labels=chosen,
        ben19=chosen,
    )


def make_region_store(
    folder: Path,
    regions: Sequence[MadeRegion],
    patches: int,
    *,
    seed: int = 0,
    splits: Sequence[str] = SPLITS,
    change: Callable[[int, Patch], Patch] = lambda index, patch: patch,
) -> Path:
    """A store with ``patches`` of each of ``regions``, one region after another."""

    def patch(index: int) -> Patch:
        region = regions[index // patches]
        made = make_region_patch(index, region, seed, splits[index % len(splits)])
        return change(index, made)

    return make_store(folder, patches * len(regions), patch=patch)


def _filled(level: NDArray[np.float64], rng: np.random.Generator) -> dict[int, NDArray[np.uint16]]:
    groups = {}
    number = 0
    for resolution, (bands, rows, columns) in BIGEARTHNET.shapes.items():
        own = level[number : number + bands, None, None]
        texture = rng.integers(-20, 21, (bands, rows, columns))
        groups[resolution] = np.clip(own + texture, 1, 10000).astype(np.uint16)
        number += bands
    return groups
