"""``geolulc assess``: accuracy and areas of a map, estimated from reference points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from geolulc.cli.options import PATH, map_classes_option, out_option, shared_options
from geolulc.cli.results import print_files, progress_bar


@click.command("assess")
@click.argument("map_path", metavar="MAP", type=PATH)
@click.option("--reference", type=PATH, required=True, help="File of points with their true class.")
@map_classes_option
@click.option(
    "--field",
    default="reference",
    show_default=True,
    metavar="COLUMN",
    help="Column of the true class: its name or code.",
)
@click.option(
    "--alternative",
    default="alternative",
    show_default=True,
    metavar="COLUMN",
    help="Column of a second class that is right too, if there is one.",
)
@click.option("--kappa", is_flag=True, help="Give Cohen's kappa too.")
@out_option("New folder for accuracy.json, .md, .html and tables.")
@shared_options("overwrite", "quiet", "json")
def command(
    map_path: Path,
    reference: Path,
    classes: Path | None,
    field: str,
    alternative: str,
    kappa: bool,
    out: Path,
    overwrite: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Estimate the accuracy of MAP and the areas of its classes from reference points.

    MAP is a map of geolulc, a change.tif of geolulc compare, or any raster of one band of classes.
    Points that geolulc sample drew bring their design along; others are taken as a sample
    stratified by the map's classes. All figures have 95 % confidence intervals.

    \b
    Example:
        geolulc assess map.tif --reference points.gpkg --out accuracy/
    """
    from geolulc.accuracy import assess_map

    with progress_bar("Map", "windows", quiet=quiet) as progress:
        paths, result = assess_map(
            map_path,
            reference,
            out,
            classes=classes,
            field=field,
            alternative=alternative,
            kappa=kappa,
            overwrite=overwrite,
            progress=progress,
        )
    print_files(result, paths, _text, as_json=as_json)


def _text(result: Mapping[str, Any], files: Mapping[str, str]) -> str:
    from geolulc.accuracy import interval

    several = result["several_classes"]
    lines = [
        f"{result['points']['used']} points: {result['design']['words']}",
        f"overall accuracy {interval(result['overall'])} (95 % interval)",
    ]
    if "change_ha" in result:
        lines.append(f"area of change {interval(result['change_ha'], '{:,.1f}')} ha")
    users, producers = "user's", "detection" if several else "producer's"
    lines.append(
        f"{'class':40} {users:>15} {producers:>15} {'estimated ha':>24} {'counted ha':>12}"
    )
    for name, area in result["area_ha"].items():
        counted = area.get("counted", area.get("counted_dominant"))
        lines.append(
            f"{name[:40]:40} {interval(result['users'][name]):>15}"
            f" {interval(result['producers'][name]):>15} {interval(area, '{:,.1f}'):>24}"
            f" {counted:12,.1f}"
        )
    if "kappa" in result:
        lines.append(f"kappa {result['kappa']:.3f}")
    lines += [f"note: {remark}" for remark in result["remarks"]]
    return "\n".join([*lines, files["html"]])
