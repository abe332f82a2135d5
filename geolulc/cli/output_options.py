"""Options for the files of maps and mosaics, declared once and handed over as one value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from geolulc.cli.options import coarser_option, names, take_fields
from geolulc.outputs.files import DTYPES, VECTOR_FORMATS, MapKind, output_names
from geolulc.outputs.options import OutputOptions

__all__ = ["OutputOptions", "mosaic_output_options", "output_options"]


def _outputs_option(cells: MapKind, pixels: MapKind) -> Any:
    """``--outputs``, of all names of either kind: the kind of the map is not known yet."""
    known = output_names(cells, pixels)

    def read(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None
        chosen = tuple(dict.fromkeys(names(value)))
        unknown = [name for name in chosen if name not in known]
        if unknown or not chosen:
            raise click.BadParameter(
                f"{', '.join(map(repr, unknown)) or 'nothing'} is not of {', '.join(known)}."
            )
        return chosen

    return click.option(
        "--outputs",
        callback=read,
        metavar="NAME,…",
        help=f"Files to write, of {', '.join(output_names(cells))}; of {pixels.value}, of "
        f"{', '.join(output_names(pixels))}. Names derive from --out.  [default: all but report "
        "and, of pixels, probabilities]",
    )


_OPTIONS = (
    click.option("--report", is_flag=True, help="Write a self-contained HTML page too."),
    click.option(
        "--dtype",
        type=click.Choice(DTYPES),
        default="float32",
        show_default=True,
        help="How probabilities are stored: as they are, or smaller, in steps of 0.0001 or 0.004.",
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
        metavar="HA",
        help="Regions of fewer hectares go to their neighbours before they become polygons.  "
        "[default: 0.5 for pixels, 0 for cells]",
    ),
    click.option(
        "--max-polygons",
        type=int,
        default=250_000,
        show_default=True,
        help="Most polygons of regions: --min-area is raised until there are no more than so many.",
    ),
)


def _options(*options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def collected(*args: Any, **values: Any) -> Any:
            return command(*args, output=take_fields(OutputOptions, values), **values)

        for option in reversed(options):
            collected = option(collected)
        return collected

    return decorate


#: Give a command these options; it receives them as ``output: OutputOptions``.
output_options = _options(
    _outputs_option(MapKind.CELLS, MapKind.PIXELS), *_OPTIONS, coarser_option("Map the classes")
)
#: The options of mosaics, which have a few outputs of their own.
mosaic_output_options = _options(
    _outputs_option(MapKind.CELL_MOSAIC, MapKind.PIXEL_MOSAIC), *_OPTIONS
)
