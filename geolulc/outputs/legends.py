"""What the colours of the outputs mean: the entries that styles, pictures and reports share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib import colormaps
from matplotlib.colors import to_hex

from geolulc.nomenclature import LandCoverClass
from geolulc.outputs.qgis_styles import Entry

_STEPS: Final = 10
#: Drawn where a cell has no class, if anything is drawn at all.
NO_DATA_COLOR: Final = "#f7f7f7"


def class_entries(classes: Sequence[LandCoverClass]) -> list[Entry]:
    """Code, name and colour of each class."""
    return [Entry(c.code, c.name, c.color) for c in classes]


def share_entries(colormap: str = "viridis") -> list[Entry]:
    """0 % … 100 % in steps of ten, for probabilities, shares and entropy."""
    colors = colormaps[colormap]
    return [
        Entry(i / _STEPS, f"{100 * i // _STEPS} %", to_hex(colors(i / _STEPS)))
        for i in range(_STEPS + 1)
    ]


def count_entries() -> list[Entry]:
    """0, 1, 2, 3, 4 classes, and more."""
    colors = colormaps["YlGnBu"]
    entries = [
        Entry(n, "1 class" if n == 1 else f"{n} classes", to_hex(colors(n / 5))) for n in range(5)
    ]
    return [*entries, Entry(float("inf"), "5 classes or more", to_hex(colors(1.0)))]
