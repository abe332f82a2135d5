"""``geolulc compare``: two maps of one grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geolulc.cli.options import PATH, coarser_option, out_option, shared_options
from geolulc.cli.results import print_cautions, print_result, progress_bar

if TYPE_CHECKING:
    from geolulc.nomenclature import Nomenclature

#: Transitions shown in the terminal; the matrix has them all.
_SHOWN = 10


@click.command("compare")
@click.argument("before", type=PATH)
@click.argument("after", type=PATH)
@coarser_option("Compare the classes")
@out_option("New change.tif.")
@shared_options("overwrite", "quiet", "json")
def command(
    before: Path,
    after: Path,
    coarser: Nomenclature | None,
    out: Path,
    overwrite: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Compare two map.tif of one grid, BEFORE and AFTER: two dates, or two models.

    Writes the change raster --out with its QGIS style, and the transition matrix in hectares
    as a .csv beside it. Hectares are counted on the maps, whose errors they carry: the area of
    change is estimated by geolulc sample and geolulc assess, which take change.tif as a map.

    \b
    Example:
        geolulc compare 2019.tif 2024.tif --out change.tif
    """
    from geolulc.analysis import compare_files, read_cautions

    with progress_bar("Maps", "windows", quiet=quiet) as progress:
        paths, found = compare_files(
            before, after, out, coarser=coarser, overwrite=overwrite, progress=progress
        )
    print_cautions([read_cautions([paths["change"]])])
    result = {**found, "files": {k: str(v) for k, v in paths.items()}}
    print_result(result, _text(paths, found), as_json=as_json)


def _text(paths: Mapping[str, Path], found: Mapping[str, Any]) -> str:
    agreement = "nothing compared" if found["agreement"] is None else f"{found['agreement']:.1%}"
    lines = [
        f"compared {found['compared_ha']:,.0f} ha; same most probable class: {agreement}",
        "hectares are counted on the maps, not estimated",
        f"{'class':48} {'before ha':>12} {'after ha':>12} {'agreement':>9}",
    ]
    lines += [
        f"{c['name'][:48]:48} {c['before_ha']:12,.0f} {c['after_ha']:12,.0f}"
        f" {c['agreement'] or 0:9.1%}"
        for c in found["classes"]
        if c["before_ha"] or c["after_ha"]
    ]
    lines += ["largest changes:"] if found["transitions"] else []
    lines += [
        f"  {t['before']} → {t['after']}: {t['area_ha']:,.0f} ha"
        for t in found["transitions"][:_SHOWN]
    ]
    lines.append(f"area of change with its interval: geolulc sample {paths['change']} --out …")
    return "\n".join([*lines, f"{paths['change']}", f"{paths['matrix']}"])
