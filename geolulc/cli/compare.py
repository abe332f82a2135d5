"""``geolulc compare``: two maps of one grid."""

from __future__ import annotations

import json
from pathlib import Path

import click

from geolulc.cli.options import PATH, json_option, overwrite_option

#: Transitions shown in the terminal; the matrix has them all.
_SHOWN = 10


@click.command("compare")
@click.argument("before", type=PATH)
@click.argument("after", type=PATH)
@click.option("--out", type=PATH, required=True, help="New change.tif.")
@overwrite_option
@json_option
def command(before: Path, after: Path, out: Path, overwrite: bool, as_json: bool) -> None:
    """Compare two map.tif of one grid, BEFORE and AFTER: two dates, or two models.

    Writes the change raster --out with its QGIS style, and the transition matrix in hectares
    as a .csv beside it.
    """
    from geolulc.analysis import compare_files

    paths, found = compare_files(before, after, out, overwrite=overwrite)
    if as_json:
        result = {**found, "files": {k: str(v) for k, v in paths.items()}}
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
        return
    agreement = "nothing compared" if found["agreement"] is None else f"{found['agreement']:.1%}"
    click.echo(f"compared {found['compared_ha']:,.0f} ha; same dominant class: {agreement}")
    click.echo(f"{'class':48} {'before ha':>12} {'after ha':>12} {'agreement':>9}")
    for c in found["classes"]:
        if c["before_ha"] or c["after_ha"]:
            click.echo(
                f"{c['name'][:48]:48} {c['before_ha']:12,.0f} {c['after_ha']:12,.0f}"
                f" {c['agreement'] or 0:9.1%}"
            )
    if found["transitions"]:
        click.echo("largest changes:")
    for t in found["transitions"][:_SHOWN]:
        click.echo(f"  {t['before']} → {t['after']}: {t['area_ha']:,.0f} ha")
    click.echo(f"{paths['change']}\n{paths['matrix']}")
