"""``geolulc summarize``: land cover by zone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from geolulc.cli.options import PATH, coarser_option, layer_option, out_option, shared_options
from geolulc.cli.results import print_cautions, print_result, progress_bar

if TYPE_CHECKING:
    from geolulc.nomenclature import Nomenclature


@click.command("summarize")
@click.argument("map_path", metavar="MAP", type=PATH)
@click.option(
    "--zones",
    type=PATH,
    required=True,
    help="File of polygons, in any coordinate reference system.",
)
@layer_option("the zones")
@coarser_option("Sum up the classes")
@out_option("New .gpkg, .parquet, .fgb, or .csv without geometry.")
@shared_options("overwrite", "quiet", "json")
def command(
    map_path: Path,
    zones: Path,
    layer: str | None,
    coarser: Nomenclature | None,
    out: Path,
    overwrite: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Add up the area and mean probability of each class of MAP in each zone of --zones.

    Cells and pixels are split at borders by area; areas are hectares on the ground,
    counted on the map, not estimated. The column "status" says where a zone is outside the map or
    without data.

    \b
    Example:
        geolulc summarize map.tif --zones districts.gpkg --out zones.csv
    """
    from geolulc.analysis import read_cautions, summarize_map

    with progress_bar("Zones", "zones", quiet=quiet) as progress:
        found = summarize_map(
            map_path,
            zones,
            out,
            layer=layer,
            coarser=coarser,
            overwrite=overwrite,
            progress=progress,
        )
    cautions = read_cautions([map_path])
    print_cautions([cautions])
    counts = {str(k): int(v) for k, v in found["status"].value_counts().items()}
    total = float(found["mapped_ha"].sum())
    stated = ", ".join(f"{n} {status}" for status, n in counts.items()) or "none"
    print_result(
        {
            "out": str(out),
            "zones": len(found),
            "status": counts,
            "mapped_ha": total,
            "cautions": [caution.text for caution in cautions],
        },
        f"{len(found)} zones: {stated}\ncounted on the map: {total:,.1f} ha mapped in zones\n{out}",
        as_json=as_json,
    )
