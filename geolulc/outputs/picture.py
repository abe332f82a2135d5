"""map.png: a quicklook with legend, scale bar and north arrow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any, Final
from warnings import catch_warnings, filterwarnings

import numpy as np
from affine import Affine
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.transforms import Affine2D, ScaledTranslation
from numpy.typing import NDArray
from pyproj import Transformer

from geolulc.grid import Extent
from geolulc.maps.header import LandCoverMap
from geolulc.maps.ranking import rank_classes
from geolulc.maps.tally import ClassSummary, MapTotals
from geolulc.outputs.cautions import Caution
from geolulc.outputs.story import Backdrop

_FRAME: Final = "#444444"
#: In the legend of a map of cover fractions is each class with a larger share.
_SMALLEST_SHARE: Final = 0.005
#: Drawn where a cell has no class.
_NO_DATA: Final = "#ffffff"
#: Inches: side of a panel, height of foot and head, width of the legend, height of its lines.
_PANEL, _FOOT, _HEAD, _LEGEND, _LINE = 6.6, 0.75, 0.8, 3.9, 0.195
#: Letters in a line of the legend, and lines of a name.
_NAME, _NAME_LINES = 36, 3
#: Inches: height of a line of cautions, and width of its letters.
_NOTE, _LETTER = 0.15, 0.066


def write_picture(
    path: Path,
    totals: MapTotals,
    backdrop: Backdrop | None = None,
    warnings: Sequence[Caution] = (),
) -> None:
    """Draw the most probable classes, beside the true-colour image where there is one.

    ``warnings``: the map's cautions, which stand at the foot.
    """
    header, sample, summaries = totals.header, totals.sample, totals.summaries
    extent = header.grid.extent
    wide = _PANEL * min(1.0, extent.width / extent.height)
    high = _PANEL * min(1.0, extent.height / extent.width)
    panels = 1 if backdrop is None else 2
    width = panels * (wide + 0.25) + _LEGEND
    handles = _legend(totals)
    notes = [
        line
        for caution in warnings
        for line in wrap(caution.text, round(width / _LETTER), subsequent_indent="  ")
    ]
    lines = sum(1 + str(handle.get_label()).count("\n") for handle in handles)
    height = _HEAD + max(high + _FOOT, lines * _LINE + 0.3) + len(notes) * _NOTE
    figure = Figure(figsize=(width, height), dpi=110)
    axes = [
        figure.add_axes(
            (
                (0.2 + i * (wide + 0.25)) / width,
                (height - _HEAD - high) / height,
                wide / width,
                high / height,
            )
        )
        for i in range(panels)
    ]
    if backdrop is not None:
        image, transform = backdrop
        axes[0].imshow(image, extent=_edges(transform, image.shape[:2]))
        axes[0].set_title("True colour", fontsize=10, loc="left")
    axes[-1].imshow(
        class_colors(sample, summaries),
        extent=_edges(sample.header.grid.transform, sample.header.grid.shape),
        interpolation="nearest",
    )
    axes[-1].set_title(header.unit.title, fontsize=10, loc="left")
    for ax in axes:
        left, bottom, right, top = extent.bounds
        ax.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], facecolor=_NO_DATA)
    _draw_scale_bar(axes[-1], extent, high)
    _draw_north_arrow(axes[-1], extent, high)
    legend = figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=((panels * (wide + 0.25) + 0.2) / width, (height - _HEAD + 0.3) / height),
        frameon=False,
        fontsize=9,
        title=header.unit.share,
        title_fontsize=10,
        alignment="left",
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    _write_captions(figure, totals, height, notes)
    with catch_warnings():
        # a name in letters that the font lacks is drawn with boxes
        filterwarnings("ignore", message="Glyph")
        FigureCanvasAgg(figure).print_figure(path, format="png", metadata={"Software": "geolulc"})


def class_colors(sample: LandCoverMap, summaries: Sequence[ClassSummary]) -> NDArray[np.uint8]:
    """The most probable classes in colour: uint8 (rows, columns, 4); no class is transparent."""
    ranked = rank_classes(sample.block.shares, 1)
    table = np.array([(*s.land_cover.rgb, 255) for s in summaries], np.uint8)
    return np.where(ranked.mapped[..., None], table[ranked.index[0]], np.uint8(0))


def scale_bar_length(extent: float) -> float:
    """Metres of a scale bar for a map ``extent`` metres wide: 1, 2 or 5 × 10ⁿ, at most a third."""
    most = extent / 3
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most)


def north_direction(tile: Extent) -> tuple[float, float]:
    """Unit vector (x, y) that points to true north at the tile's centre, in its CRS."""
    x, y = tile.left + tile.width / 2, tile.top - tile.height / 2
    to_degrees = Transformer.from_crs(tile.crs, 4326, always_xy=True)
    longitude, latitude = to_degrees.transform(x, y)
    further = to_degrees.transform(longitude, latitude + 0.01, direction="INVERSE")
    dx, dy = further[0] - x, further[1] - y
    length = math.hypot(dx, dy)
    return dx / length, dy / length


def _draw_scale_bar(ax: Any, tile: Extent, high: float) -> None:
    length = scale_bar_length(tile.width)
    share = length / tile.width
    bottom, thickness = -0.3 / high, 0.09 / high
    for i in range(4):
        ax.add_patch(
            Rectangle(
                (i * share / 4, bottom),
                share / 4,
                thickness,
                transform=ax.transAxes,
                clip_on=False,
                facecolor=_FRAME if i % 2 == 0 else "white",
                edgecolor=_FRAME,
                linewidth=0.8,
            )
        )
    unit, divisor = ("km", 1000) if length >= 1000 else ("m", 1)
    for part in (0.0, 0.5, 1.0):
        text = f"{length * part / divisor:g}" + (f" {unit}" if part == 1 else "")
        ax.text(
            share * part,
            bottom - 0.04 / high,
            text,
            transform=ax.transAxes,
            ha="center" if part else "left",
            va="top",
            fontsize=8,
        )


def _draw_north_arrow(ax: Any, tile: Extent, high: float) -> None:
    dx, dy = north_direction(tile)
    # in points, so that the arrow keeps its shape whatever the map's
    points = Affine2D().scale(1 / 72) + ax.figure.dpi_scale_trans
    place = points + ScaledTranslation(1.0, -0.5 / high, ax.transAxes)
    ax.annotate(
        "N",
        xy=(-14, 0),
        xycoords=place,
        xytext=(-14 + 32 * dx, 32 * dy),
        textcoords=place,
        ha="center",
        va="center",
        fontsize=9,
        arrowprops={"arrowstyle": "<|-", "color": _FRAME, "linewidth": 1.4, "shrinkA": 6},
        annotation_clip=False,
    )


def _legend(totals: MapTotals) -> list[Patch]:
    figures = totals.figures
    labels = [
        (s.land_cover.color, f"{_wrapped(s.land_cover.short)}  {_percent(s.share)}")
        for s in sorted(totals.summaries, key=lambda s: -s.share)
        if s.cells or s.share > _SMALLEST_SHARE
    ]
    missing = 1 - figures.mapped / figures.cells
    if missing:
        unit = totals.header.unit.many
        labels.append((_NO_DATA, f"No data  {_percent(missing)} of the {unit}"))
    return [Patch(fc=color, ec=_FRAME, linewidth=0.5, label=label) for color, label in labels]


def _write_captions(figure: Figure, totals: MapTotals, height: float, notes: Sequence[str]) -> None:
    header, grid = totals.header, totals.header.grid
    figure.text(
        0.2 / figure.get_figwidth(),
        1 - 0.25 / height,
        _short(header.scene.get("name", "Land cover"), 80),
        fontsize=11,
        fontweight="bold",
        va="center",
        parse_math=False,  # "$" in a product's name is a dollar
    )
    figure.text(
        (figure.get_figwidth() - 0.15) / figure.get_figwidth(),
        0.15 / height,
        f"{grid.extent.crs} · {header.unit.many} of {grid.cell} m · "
        f"{totals.figures.area_ha:,.0f} ha mapped · "
        f"model {_short(header.model.get('name', 'unknown'), 40)}",
        fontsize=7.5,
        color=_FRAME,
        ha="right",
        va="center",
        parse_math=False,
    )
    for line, text in enumerate(reversed(notes)):
        figure.text(
            0.2 / figure.get_figwidth(),
            (0.35 + line * _NOTE) / height,
            text,
            fontsize=7.5,
            va="center",
            parse_math=False,
        )


def _wrapped(name: str) -> str:
    return "\n".join(wrap(name, _NAME, max_lines=_NAME_LINES, placeholder=" …"))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _percent(share: float) -> str:
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def _edges(transform: Affine, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    right = transform.c + shape[1] * transform.a
    bottom = transform.f + shape[0] * transform.e
    return transform.c, right, bottom, transform.f
