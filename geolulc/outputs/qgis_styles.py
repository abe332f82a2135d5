"""QGIS styles (.qml) of the outputs: the right colours, names and limits without a click.

A style is a text for QGIS 3.22 and later. It is written beside a raster, or embedded by
``geopackage_styles.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from geolulc.outputs.templates import fill

_HOLLOW: Final = "#bfbfbf"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a legend: ``color`` is "#rrggbb", or "" for polygons drawn as an outline."""

    value: float
    label: str
    color: str

    @property
    def number(self) -> str:
        """The value as a style has it."""
        return f"{self.value:.10g}"


def paletted_style(entries: Sequence[Entry], *, band: int = 1) -> str:
    """Style of a raster of codes: exactly ``entries``; other values are invisible."""
    return fill("raster.qml", entries=entries, band=band, ramp="")


def ramp_style(entries: Sequence[Entry], *, band: int = 1, discrete: bool = False) -> str:
    """Style of one band of a raster with fixed limits, never stretched to the scene.

    Args:
        entries: from the lowest value to the highest. A discrete ramp paints values up to an
            entry's in its colour, and its last value can be infinite.
        band: the band, from 1.
        discrete: steps in place of a gradient.
    """
    finite = [entry.number for entry in entries if entry.value != float("inf")]
    ramp = "DISCRETE" if discrete else "INTERPOLATED"
    return fill("raster.qml", entries=entries, band=band, ramp=ramp, low=finite[0], high=finite[-1])


def categorized_style(
    entries: Sequence[Entry],
    attribute: str,
    aliases: Mapping[str, str],
    *,
    outline: str | None = None,
) -> str:
    """Style of polygons by the integer ``attribute``.

    Args:
        entries: every value that occurs; others are not drawn.
        attribute: the column.
        aliases: column → its title in QGIS's tables and forms.
        outline: "#rrggbb" of the polygons' edge; None draws it in the fill's colour, so that no
            seam shows between neighbours.
    """
    symbols = [
        {
            "color": _rgba(entry.color or _HOLLOW),
            "style": "solid" if entry.color else "no",
            "outline_color": _rgba(outline or entry.color or _HOLLOW),
            "outline_style": "solid",
            "outline_width": "0.1",
            "outline_width_unit": "MM",
            "joinstyle": "miter",
        }
        for entry in entries
    ]
    return fill(
        "vector.qml", entries=entries, attribute=attribute, symbols=symbols, aliases=aliases
    )


def table_style(aliases: Mapping[str, str]) -> str:
    """Style of a table without geometry: the titles of its columns."""
    return fill("vector.qml", entries=(), aliases=aliases)


def _rgba(color: str) -> str:
    return ",".join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5)) + ",255"
