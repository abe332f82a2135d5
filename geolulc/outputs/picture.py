"""map.png: a quicklook with legend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from geolulc.landcover_map import LandCoverMap
from geolulc.outputs.cells import ClassSummary, dominant_codes

#: A true-colour image, uint8 (rows, columns, 3), and its pixel → projected transform.
Backdrop = tuple[NDArray[np.uint8], Affine]


def write_picture(
    path: Path,
    landcover_map: LandCoverMap,
    summaries: Sequence[ClassSummary],
    backdrop: Backdrop | None = None,
) -> None:
    """Draw the dominant classes, beside the true-colour image where there is one."""
    panels = 1 if backdrop is None else 2
    figure = Figure(figsize=(7.2 * panels + 3.6, 7.8), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = list(np.ravel(figure.subplots(1, panels)))
    if backdrop is not None:
        image, transform = backdrop
        axes[0].imshow(image, extent=_extent(transform, image.shape[:2]))
        axes[0].set_title("True colour")
    axes[-1].imshow(
        class_colors(dominant_codes(landcover_map), summaries),
        extent=_extent(landcover_map.grid.transform, landcover_map.grid.shape),
        interpolation="nearest",
    )
    axes[-1].set_title("Dominant land cover")
    tile = landcover_map.grid.tile
    for ax in axes:
        ax.set_xlim(tile.left, tile.left + tile.width)
        ax.set_ylim(tile.top - tile.height, tile.top)
        ax.set_xticks([])
        ax.set_yticks([])
    figure.legend(
        handles=_legend(summaries),
        loc="outside right upper",
        frameon=False,
        fontsize=9,
        title="Share of the mapped area",
        alignment="left",
    )
    figure.suptitle(landcover_map.scene.get("name", "Land cover"), fontsize=10)
    canvas.print_figure(path, format="png", metadata={"Software": "geolulc"})


def class_colors(codes: NDArray[np.uint8], summaries: Sequence[ClassSummary]) -> NDArray[np.uint8]:
    """Codes → uint8 (rows, columns, 4); no class is transparent."""
    table = np.zeros((256, 4), np.uint8)
    for s in summaries:
        table[s.land_cover.code] = (*s.land_cover.rgb, 255)
    return table[codes]


def _legend(summaries: Sequence[ClassSummary]) -> list[Any]:
    return [
        Patch(
            facecolor=s.land_cover.color,
            edgecolor="#444444",
            linewidth=0.5,
            label=f"{s.land_cover.short}  {s.share:.1%}",
        )
        for s in summaries
        if s.cells
    ]


def _extent(transform: Affine, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    right = transform.c + shape[1] * transform.a
    bottom = transform.f + shape[0] * transform.e
    return transform.c, right, bottom, transform.f
