"""The legends of the outputs: values with their labels and colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from geolulc.maps.header import MapHeader
from geolulc.maps.ranking import frequency_entropy
from geolulc.nomenclature import LandCoverClass
from geolulc.outputs.qgis_styles import Entry

_STEPS: Final = 10


def class_entries(classes: Sequence[LandCoverClass]) -> list[Entry]:
    """Code, name and colour of each class."""
    return [Entry(c.code, c.name, c.color) for c in classes]


def probability_entries() -> list[Entry]:
    """0 % … 100 % in steps of ten."""
    return [Entry(x, f"{x:.0%}".replace("%", " %"), color) for x, color in _ramp("viridis")]


def entropy_entries(header: MapHeader) -> list[Entry]:
    """0 … 1 in steps of a tenth: bits, or relative to class frequencies or the highest."""
    relative = frequency_entropy(header) is not None or header.adds_up
    unit = "" if relative else " bit"
    highest = "no surer than class frequencies" if relative else "each class as likely there as not"
    highest = header.unit.doubt if header.adds_up else highest
    meaning = {0.0: f": {header.unit.certain}", 1.0: f": {highest}"}
    return [Entry(x, f"{x:.1f}{unit}{meaning.get(x, '')}", color) for x, color in _ramp("magma")]


def distance_entries() -> list[Entry]:
    """0 … 2 times the limit of the training in steps of a fifth."""
    meaning = {1.0: ": the training's 99th percentile", 2.0: " and more"}
    return [Entry(2 * x, f"{2 * x:.1f}{meaning.get(2 * x, '')}", c) for x, c in _ramp("inferno")]


def _ramp(colormap: str) -> list[tuple[float, str]]:
    colors = colormaps[colormap]
    return [(i / _STEPS, to_hex(colors(i / _STEPS))) for i in range(_STEPS + 1)]


def count_entries() -> list[Entry]:
    """0, 1, 2, 3, 4 classes, and more."""
    colors = colormaps["YlGnBu"]
    entries = [
        Entry(n, "1 class" if n == 1 else f"{n} classes", to_hex(colors(n / 5))) for n in range(5)
    ]
    return [*entries, Entry(float("inf"), "5 classes or more", to_hex(colors(1.0)))]


def observation_entries(most: int) -> list[Entry]:
    """1 to ``most`` observations in up to six steps."""
    colors = ("#f7fbff", "#c6dbef", "#9ecae1", "#6baed6", "#3182bd", "#08519c")
    counts = sorted({int(n) for n in np.linspace(1, max(most, 2), len(colors)).round()})
    return [
        Entry(n, f"{n} observation{'s' if n > 1 else ''}", color)
        for n, color in zip(counts, colors, strict=False)
    ]
