"""Pictures of a sample for the page: points over the map, and the places where it is wrong."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from pyproj import Transformer
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geolulc.accuracy.classified import NOWHERE, ClassifiedMap
from geolulc.accuracy.columns import POINT
from geolulc.accuracy.estimators import UNKNOWN
from geolulc.accuracy.looking import Seen
from geolulc.accuracy.reference import ReferencePoints

#: So many wrong points are shown.
_SHOWN: Final = 48
#: Pixels and cells of the map to each side of a point, and pixels of the screen along a picture.
_AROUND: Final = {"pixel": 15, "cell": 3}
_SIDE: Final = 155
_RIGHT, _WRONG = "#1a7f37", "#c1121f"


def truecolour_path(points: Path) -> Path:
    """Where the true-colour image of a file of points lies, if there is one."""
    return points.with_name(f"{points.stem}_truecolour.tif")


def overview(
    classified: ClassifiedMap, seen: Seen, used: NDArray[np.intp], right: NDArray[np.bool_]
) -> str:
    """A PNG as a data URI: the pale map with its points, by whether the map is right there."""
    rows, columns = seen.overview.shape
    wide = 8 * min(1.0, columns / rows)
    figure = Figure(figsize=(max(wide, 2), max(8 * min(1.0, rows / columns), 2)), dpi=100)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.imshow(_colors(classified, seen.overview, pale=0.5), interpolation="nearest")
    shown = used[seen.mapped[used] != UNKNOWN]
    for agree, color, marker in ((True, _RIGHT, "o"), (False, _WRONG, "X")):
        which = shown[right[shown] == agree]
        ax.scatter(
            seen.column[which] / seen.step - 0.5 + 0.5 / seen.step,
            seen.row[which] / seen.step - 0.5 + 0.5 / seen.step,
            s=22, c=color, marker=marker, linewidths=0.5, edgecolors="white",
        )  # fmt: skip
    ax.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    ax.axis("off")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def disagreements(
    classified: ClassifiedMap,
    points: ReferencePoints,
    seen: Seen,
    truths: Sequence[str],
    wrong: Sequence[int],
) -> list[dict[str, Any]]:
    """The first wrong points: number, class of the map, true class, and pictures of the place.

    Args:
        classified: the map.
        points: the file; the true-colour image may lie beside it.
        seen: the map at the points.
        truths: the true class of each point, in words.
        wrong: rows of the file where the map is wrong.
    """
    backdrop = truecolour_path(points.path)
    found = []
    for i in wrong[:_SHOWN]:
        near = _AROUND[classified.unit]
        row, column = int(seen.row[i]) - near, int(seen.column[i]) - near
        window = Window(column, row, 2 * near + 1, 2 * near + 1)
        there = np.flatnonzero(seen.presence[:, i])
        named = there if classified.several else [seen.mapped[i]]
        pictures = [_uri(_colors(classified, _positions(classified, window)), "png")]
        if backdrop.is_file() and (image := _true_colour(backdrop, classified, window)):
            pictures.insert(0, image)
        number = points.table[POINT].iloc[i] if POINT in points.table else i + 1
        found.append(
            {
                "number": number,
                "map": "; ".join(classified.names[k] for k in named) or "no class",
                "reference": truths[i],
                "pictures": pictures,
            }
        )
    return found


def _positions(classified: ClassifiedMap, window: Window) -> NDArray[np.int32]:
    """As those of the map; ``NOWHERE`` where the window reaches beyond it."""
    rows, columns = classified.shape
    inside = window.intersection(Window(0, 0, columns, rows))
    found = np.full((window.height, window.width), NOWHERE, np.int32)
    top, left = inside.row_off - window.row_off, inside.col_off - window.col_off
    part = found[top : top + inside.height, left : left + inside.width]
    part[:] = classified.positions(inside)
    return found


def _true_colour(path: Path, classified: ClassifiedMap, window: Window) -> str | None:
    """The image of a window's ground; None where it cannot be read, or shows another place."""
    corners = [
        classified.transform @ (window.col_off + c, window.row_off + r)
        for c, r in ((0, 0), (window.width, window.height))
    ]
    try:
        with rasterio.open(path, driver="GTiff") as dataset:
            transformer = Transformer.from_crs(classified.crs, dataset.crs, always_xy=True)
            x, y = transformer.transform(*np.transpose(corners))
            columns, rows = ~dataset.transform @ (np.asarray(x), np.asarray(y))
            size = float(np.ptp(columns)), float(np.ptp(rows))
            place = Window(float(columns.min()), float(rows.min()), *size)
            image = dataset.read(
                (1, 2, 3), window=place, out_shape=(3, _SIDE, _SIDE), boundless=True, fill_value=0
            )
    except (RasterioError, ValueError, IndexError):
        return None
    return _uri(np.moveaxis(image, 0, -1).astype(np.uint8), "jpeg") if image.any() else None


def _colors(
    classified: ClassifiedMap, positions: NDArray[np.int32], pale: float = 0.0
) -> NDArray[np.uint8]:
    """uint8 (rows, columns, 3): the classes in their colours, mixed with so much white."""
    table = np.array([*(c.rgb for c in classified.classes), (255, 255, 255)], np.float64)
    table = table * (1 - pale) + 255 * pale
    return table.astype(np.uint8)[np.where(positions == NOWHERE, len(table) - 1, positions)]


def _uri(image: NDArray[np.uint8], kind: str) -> str:
    """A picture of the page as a data URI of the kind "png" or "jpeg"."""
    picture = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
