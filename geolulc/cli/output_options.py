"""The options that say what ``geolulc map`` writes: declared once, handed over as one value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from geolulc.outputs.files import DEFAULT_OUTPUTS, OUTPUTS, VECTOR_FORMATS
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.pixel_files import PIXEL_OUTPUTS

#: Which of them a map has depends on its model, which is not known while options are read.
_NAMES = tuple(dict.fromkeys((*OUTPUTS, *PIXEL_OUTPUTS)))

__all__ = ["OutputOptions", "output_options"]


def _chosen(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    unknown = [name for name in names if name not in _NAMES]
    if unknown or not names:
        raise click.BadParameter(
            f"{', '.join(map(repr, unknown)) or 'nothing'} is not of {', '.join(_NAMES)}."
        )
    return names


_OPTIONS = (
    click.option(
        "--outputs",
        callback=_chosen,
        default=",".join(DEFAULT_OUTPUTS),
        show_default="all but report",
        metavar="NAME,…",
        help=f"What to write, of {', '.join(OUTPUTS)}; of a map of pixels, of "
        f"{', '.join(PIXEL_OUTPUTS)} (by default without report and probabilities). Names derive "
        "from --out.",
    ),
    click.option("--report", is_flag=True, help="Write a self-contained HTML page too."),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "uint16", "uint8"]),
        default="float32",
        show_default=True,
        help="Probabilities as they are, or in steps of 0.0001 or 0.004.",
    ),
    click.option(
        "--vector-format",
        type=click.Choice(list(VECTOR_FORMATS)),
        default="gpkg",
        show_default=True,
        help="One GeoPackage, or a file for each layer.",
    ),
    click.option(
        "--cells/--no-cells",
        default=None,
        help="Write a polygon for each cell, or not.  [default: up to 50,000 cells]",
    ),
    click.option(
        "--min-area",
        type=float,
        default=0.5,
        show_default=True,
        metavar="HA",
        help="Of a map of pixels: smaller regions go to their neighbours before they become "
        "polygons.",
    ),
    click.option(
        "--max-polygons",
        type=int,
        default=250_000,
        show_default=True,
        help="Of a map of pixels: --min-area is raised until there are no more.",
    ),
)


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options; it receives them as ``output: OutputOptions``."""

    @functools.wraps(command)
    def collected(
        *args: Any,
        outputs: tuple[str, ...],
        report: bool,
        dtype: str,
        vector_format: str,
        cells: bool | None,
        min_area: float,
        max_polygons: int,
        **others: Any,
    ) -> Any:
        if report and "report" not in outputs:
            outputs = (*outputs, "report")
        options = OutputOptions(outputs, dtype, vector_format, cells, min_area, max_polygons)
        return command(*args, output=options, **others)

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected
