"""``geolulc mosaic``: maps of many tiles and dates → one map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geolulc.cli.options import PATH, out_option, shared_options
from geolulc.cli.output_options import OutputOptions, mosaic_output_options
from geolulc.cli.results import exit_with_errors, print_cautions, print_result, progress_bar


@click.command("mosaic")
@click.argument("maps", type=PATH, nargs=-1, required=True, metavar="MAP…")
@out_option("The map.tif to write; with --group-by, a folder.")
@click.option(
    "--combine",
    type=click.Choice(["mean", "median", "max", "latest"]),
    default="mean",
    show_default=True,
    help="How the observations of a cell become one. mean and median weigh them by the share that "
    "is valid and clear, and pixels by how far they lie inside their tile.",
)
@click.option(
    "--group-by",
    type=click.Choice(["month", "season", "year"]),
    help="Write a mosaic for each period: 2024-02.tif, 2024-DJF.tif or 2024.tif. December belongs "
    "to the winter of the next year.",
)
@click.option(
    "--crs",
    metavar="CRS",
    help="Coordinate reference system, such as EPSG:3035.  [default: the maps' own, or "
    "EPSG:3035 in Europe]",
)
@click.option(
    "--cell-size", type=int, help="Side of a cell or pixel in metres.  [default: the maps' own]"
)
@click.option(
    "--min-weight",
    type=float,
    help="Leave out observations of which a smaller share is valid and clear.  [default: 0 "
    "for mean, else 0.5]",
)
@click.option(
    "--allow-different-models",
    "mixed_models",
    is_flag=True,
    help="Combine maps that different models made.",
)
@mosaic_output_options
@shared_options("overwrite", "quiet", "json")
def command(
    maps: tuple[Path, ...],
    out: Path,
    output: OutputOptions,
    group_by: str | None,
    overwrite: int,
    quiet: bool,
    as_json: bool,
    **choices: Any,
) -> None:
    """Combine map.tif of geolulc map, of many tiles and dates, into one map.

    MAP is a map.tif, a folder of them, or a .txt that lists them; the other rasters of a map are
    passed over, so maps/*.tif works. All are maps of cells, or all are maps of pixels. Memory does
    not grow with their number or with the mosaic.

    \b
    Examples:
        geolulc mosaic maps/*.tif --out country.tif
        geolulc mosaic maps/ --out seasons/ --group-by season --combine median
    """
    from geolulc.analysis import read_cautions
    from geolulc.mosaics import MosaicOptions, make_mosaic, make_mosaics

    options = MosaicOptions(**choices)
    if group_by is not None:
        results = make_mosaics(
            maps,
            out,
            options,
            output,
            group_by,
            overwrite=overwrite,
            progress=lambda period: progress_bar(period, "blocks", quiet=quiet),
        )
        told = [read_cautions(result.mosaic.files.values()) for result in results if result.mosaic]
        print_cautions(told)
        described = [
            {
                "period": result.period,
                "skipped": result.skipped,
                "error": None if result.error is None else str(result.error),
                **_json(result.mosaic),
            }
            for result in results
        ]
        lines = [
            f"{result.period}: already there"
            if result.skipped
            else f"{result.period}: {_described(result.mosaic)}\n"
            f"  {list(result.mosaic.files.values())[-1]}"
            for result in results
            if result.error is None
        ]
        print_result(described, "\n".join(lines), as_json=as_json)
        exit_with_errors([r.error for r in results], "periods")
        return
    with progress_bar("Mosaic", "blocks", quiet=quiet) as progress:
        result = make_mosaic(maps, out, options, output, overwrite=overwrite, progress=progress)
    print_cautions([read_cautions(result.files.values())])
    files = (f"\n  {path}" for path in result.files.values())
    print_result(_json(result), _described(result) + "".join(files), as_json=as_json)


def _json(result: Any) -> dict[str, Any]:
    return {
        "maps": result.maps,
        "maps_without_shares": result.unweighted,
        "models": result.models,
        "pixels" if result.pixels else "cells": "copied" if result.copied else "resampled",
        "files": {name: str(path) for name, path in result.files.items()},
    }


def _described(result: Any) -> str:
    maps = f"{result.maps} map" + ("s" if result.maps > 1 else "")
    what = "pixels" if result.pixels else "cells"
    text = f"{maps} combined, {what} {'copied' if result.copied else 'resampled'}"
    if result.unweighted:
        text += f"; {result.unweighted} without valid and clear shares weigh 1"
    if result.models > 1:
        text += f"; made by {result.models} models"
    return text
