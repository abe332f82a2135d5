"""``geolulc sample``: points of a map, drawn at random, for people to label."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from geolulc.cli.options import PATH, map_classes_option, out_option, shared_options
from geolulc.cli.results import print_files, progress_bar


@click.command("sample")
@click.argument("map_path", metavar="MAP", type=PATH)
@map_classes_option
@click.option(
    "--design",
    type=click.Choice(("stratified", "simple", "systematic", "cluster")),
    default="stratified",
    show_default=True,
    help="How points are drawn: so many in each stratum, anywhere, on a grid, or in clusters.",
)
@click.option(
    "--strata",
    type=PATH,
    help="Raster or polygons that divide the map into strata.  [default: the map's classes]",
)
@click.option("--strata-field", metavar="COLUMN", help="Column that names the strata of polygons.")
@click.option(
    "--size",
    type=int,
    metavar="N",
    help="Number of points.  [default: as many as --standard-error needs]",
)
@click.option(
    "--standard-error",
    type=float,
    default=0.02,
    show_default=True,
    help="Standard error of the overall accuracy that the sample is to reach.",
)
@click.option(
    "--expected",
    multiple=True,
    metavar="[NAME=]SHARE",
    help="Share of a class's map that is expected to be right, of all classes or of one.  "
    "[default: 0.75]",
)
@click.option(
    "--allocation",
    type=click.Choice(("proportional", "equal", "neyman")),
    default="proportional",
    show_default=True,
    help="How points are shared among strata: by area, equally, or by area and variance.",
)
@click.option(
    "--least", type=int, default=20, show_default=True, help="Fewest points of a stratum."
)
@click.option(
    "--distance",
    type=float,
    default=0.0,
    metavar="M",
    help="Least distance between two points in metres.",
)
@click.option(
    "--cluster-side",
    type=float,
    default=5000.0,
    show_default=True,
    metavar="M",
    help="Side of a cluster in metres.",
)
@click.option(
    "--cluster-points",
    type=int,
    default=10,
    show_default=True,
    metavar="N",
    help="Points of a cluster.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="The same seed draws the same points."
)
@click.option("--scene", type=PATH, help="Sentinel-2 product whose true colours to write beside.")
@out_option("New .gpkg for QGIS, .geojson, .kml or .csv.")
@shared_options("overwrite", "quiet", "json")
def command(
    map_path: Path,
    classes: Path | None,
    strata: Path | None,
    strata_field: str | None,
    expected: tuple[str, ...],
    scene: Path | None,
    out: Path,
    overwrite: int,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Draw a probability sample of MAP: points to label, for geolulc assess.

    MAP is a map of geolulc, a change.tif of geolulc compare, or any raster of one band of classes.
    The .gpkg opens in QGIS with a list of class names to choose from; the map's class is hidden.
    Design and inclusion probabilities are stored with the points.

    \b
    Examples:
        geolulc sample map.tif --out points.gpkg --size 500
        geolulc sample worldcover.tif --classes worldcover --out points.gpkg
    """
    from geolulc.accuracy import SampleOptions, draw_sample

    chosen = SampleOptions.from_mapping({**options, **_expected(expected)})
    with progress_bar("Map", "windows", quiet=quiet) as progress:
        paths, design = draw_sample(
            map_path,
            out,
            chosen,
            classes=classes,
            strata=strata,
            strata_field=strata_field,
            scene=scene,
            overwrite=overwrite,
            progress=progress,
        )
    print_files(design, paths, _text, as_json=as_json)


def _expected(given: tuple[str, ...]) -> dict[str, Any]:
    """Settings of "0.8" and "Water=0.95"."""
    settings: dict[str, Any] = {"expected_by_name": {}}
    for text in given:
        name, _, share = text.rpartition("=")
        try:
            value = float(share)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not SHARE or NAME=SHARE") from None
        if name:
            settings["expected_by_name"][name] = value
        else:
            settings["expected"] = value
    return settings


def _text(design: Mapping[str, Any], files: Mapping[str, str]) -> str:
    lines = [f"{design['points']} points, {design['design']['design']} sample"]
    if design["standard_error"] is not None:
        lines.append(f"expected: overall accuracy ± {1.96 * design['standard_error']:.3f} (95 %)")
    lines.append(f"{'stratum':48} {'hectares':>16} {'points':>7}")
    lines += [
        f"{s['name'][:48]:48} {s['hectares']:16,.1f} {s['points']:7}" for s in design["strata"]
    ]
    lines += [f"note: {remark}" for remark in design["remarks"]]
    return "\n".join([*lines, *files.values()])
