"""QGIS styles (.qml) of the outputs: the right colours, names and limits without a click.

Written for QGIS 3.22 and later: symbols carry both ``prop`` (read before 3.26) and ``Option``.
A style is a string: it is written beside a raster, or embedded by ``geopackage_styles.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

_VERSION: Final = "3.22.0"
_HOLLOW: Final = "#bfbfbf"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a legend: ``color`` is "#rrggbb", or "" for polygons drawn as an outline."""

    value: float
    label: str
    color: str


def paletted_style(entries: Sequence[Entry], *, band: int = 1) -> str:
    """Style of a raster of codes: exactly ``entries``; other values are invisible."""
    root, renderer = _raster("paletted", band)
    palette = SubElement(renderer, "colorPalette")
    for entry in entries:
        SubElement(
            palette,
            "paletteEntry",
            value=_number(entry.value),
            label=entry.label,
            color=entry.color,
            alpha="255",
        )
    return _text(root)


def ramp_style(entries: Sequence[Entry], *, band: int = 1, discrete: bool = False) -> str:
    """Style of one band of a raster with fixed limits, never stretched to the scene.

    Args:
        entries: from the lowest value to the highest. A discrete ramp paints values up to an
            entry's in its colour, and its last value can be infinite.
        band: the band, from 1.
        discrete: steps in place of a gradient.
    """
    finite = [e.value for e in entries if e.value != float("inf")]
    low, high = _number(finite[0]), _number(finite[-1])
    root, renderer = _raster("singlebandpseudocolor", band)
    renderer.set("classificationMin", low)
    renderer.set("classificationMax", high)
    shader = SubElement(
        SubElement(renderer, "rastershader"),
        "colorrampshader",
        colorRampType="DISCRETE" if discrete else "INTERPOLATED",
        classificationMode="1",
        clip="0",
        minimumValue=low,
        maximumValue=high,
    )
    for entry in entries:
        SubElement(
            shader,
            "item",
            value=_number(entry.value),
            label=entry.label,
            color=entry.color,
            alpha="255",
        )
    # without it an interpolated ramp's legend shows two numbers in place of the labels
    SubElement(shader, "rampLegendSettings", useContinuousLegend="0")
    return _text(root)


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
        aliases: column → what QGIS calls it in tables and forms.
        outline: "#rrggbb" of the polygons' edge; None draws it in the fill's colour, so that no
            seam shows between neighbours.
    """
    root = _root()
    renderer = SubElement(
        root,
        "renderer-v2",
        type="categorizedSymbol",
        attr=attribute,
        symbollevels="0",
        enableorderby="0",
        forceraster="0",
    )
    categories = SubElement(renderer, "categories")
    symbols = SubElement(renderer, "symbols")
    for i, entry in enumerate(entries):
        SubElement(
            categories,
            "category",
            value=_number(entry.value),
            symbol=str(i),
            label=entry.label,
            render="true",
            type="long",
        )
        _fill(symbols, str(i), entry.color, outline or entry.color or _HOLLOW)
    SubElement(renderer, "rotation")
    SubElement(renderer, "sizescale")
    _fields(root, aliases)
    SubElement(root, "layerGeometryType").text = "2"
    return _text(root)


def table_style(aliases: Mapping[str, str]) -> str:
    """Style of a table without geometry: the names of its columns."""
    root = _root()
    _fields(root, aliases)
    SubElement(root, "layerGeometryType").text = "4"
    return _text(root)


def _root() -> Element:
    return Element("qgis", version=_VERSION, styleCategories="AllStyleCategories")


def _raster(kind: str, band: int) -> tuple[Element, Element]:
    root = _root()
    pipe = SubElement(root, "pipe")
    renderer = SubElement(
        pipe,
        "rasterrenderer",
        type=kind,
        band=str(band),
        opacity="1",
        alphaBand="-1",
        nodataColor="",
    )
    SubElement(renderer, "rasterTransparency")
    origin = SubElement(renderer, "minMaxOrigin")
    SubElement(origin, "limits").text = "None"
    SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    SubElement(pipe, "rasterresampler", maxOversampling="2")
    SubElement(root, "blendMode").text = "0"
    return root, renderer


def _fill(symbols: Element, name: str, color: str, outline: str) -> None:
    symbol = SubElement(
        symbols, "symbol", type="fill", name=name, alpha="1", clip_to_extent="1", force_rhr="0"
    )
    layer = SubElement(symbol, "layer", {"class": "SimpleFill"}, enabled="1", locked="0")
    layer.set("pass", "0")
    settings = {
        "color": _rgba(color or _HOLLOW),
        "style": "solid" if color else "no",
        "outline_color": _rgba(outline),
        "outline_style": "solid",
        "outline_width": "0.1",
        "outline_width_unit": "MM",
        "joinstyle": "miter",
    }
    options = SubElement(layer, "Option", type="Map")
    for key, value in settings.items():
        SubElement(options, "Option", name=key, type="QString", value=value)
        SubElement(layer, "prop", k=key, v=value)


def _fields(root: Element, aliases: Mapping[str, str]) -> None:
    element = SubElement(root, "aliases")
    for i, (field, alias) in enumerate(aliases.items()):
        SubElement(element, "alias", index=str(i), field=field, name=alias)
    if "name" in aliases:
        SubElement(root, "previewExpression").text = '"name"'


def _rgba(color: str) -> str:
    return ",".join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5)) + ",255"


def _number(value: float) -> str:
    return f"{value:.10g}"


def _text(root: Element) -> str:
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{body}\n"
