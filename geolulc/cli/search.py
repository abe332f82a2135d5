"""``geolulc search``: products of a place and time in the Copernicus Data Space."""

from __future__ import annotations

from pathlib import Path

import click

from geolulc.cli.options import (
    PATH_OR_TEXT,
    RESULT,
    period_options,
    remote_options,
    shared_options,
    stac_options,
)
from geolulc.cli.results import print_result


@click.command("search")
@click.option(
    "--aoi",
    type=PATH_OR_TEXT,
    required=True,
    metavar="FILE|W,S,E,N",
    help="Area that products must touch: a vector file, or a box in degrees.",
)
@period_options(required=True)
@click.option(
    "--level",
    type=click.Choice(("L2A", "L1C")),
    default="L2A",
    show_default=True,
    help="Processing level of the products.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=1000,
    show_default=True,
    help="Finding more products than so many is an error.",
)
@stac_options
@click.option(
    "--out",
    "-o",
    type=RESULT,
    help="With --stac: the .json of Items to write, which geolulc map takes.",
)
@remote_options
@shared_options("overwrite", "json")
def command(
    aoi: str,
    dates: str,
    max_cloud: float,
    level: str,
    limit: int,
    stac: str | None,
    collection: str | None,
    out: Path | None,
    overwrite: int,
    service: str | None,
    allow_internal: bool,
    as_json: bool,
) -> None:
    """List Sentinel-2 products of the Copernicus Data Space, or Items of a STAC API.

    No account is needed.

    A line begins with the name of a product. Of a datatake that was processed again, the newest
    is listed.

    \b
    Examples:
        geolulc search --aoi 11.2,46.4,11.5,46.6 --dates 2024-06-01/2024-08-31 --max-cloud 10
        geolulc search --aoi field.gpkg --dates 2024-07-01/2024-07-31 > found.txt
        geolulc search --stac https://earth-search.aws.element84.com/v1 \\
            --collection sentinel-2-c1-l2a --aoi field.gpkg --dates 2024-07-01 --out items.json
    """
    if (stac is None) != (collection is None) or (stac is None) != (out is None):
        raise click.UsageError("--stac, --collection and --out belong together")
    from geolulc.remote.client import Client
    from geolulc.remote.copernicus import Service, parse_dates, search_products

    days = parse_dates(dates)
    from geolulc.polygons.area import area_in_degrees

    area = area_in_degrees(aoi)
    if stac is not None and collection is not None and out is not None:
        from geolulc.remote.stac import save_items, search_items

        with Client(allow_internal=allow_internal) as client:
            items = search_items(
                client, stac, collection, area, days, max_cloud=max_cloud, most=limit
            )
        save_items(items, out, overwrite=overwrite)
        print_result({"items": len(items["features"]), "path": str(out)}, str(out), as_json=as_json)
        return
    with Client(allow_internal=allow_internal) as client:
        found = search_products(
            client,
            area,
            days,
            max_cloud=max_cloud,
            level=level,
            most=limit,
            service=Service.at(service),
        )
    lines = [
        f"{p.name}  {p.start:%Y-%m-%d}"
        f"  {'cloud ?' if p.cloud is None else f'cloud {p.cloud:3.0f} %'}"
        f"  {p.size / 1e6:6,.0f} MB{'' if p.online else '  not online'}"
        for p in found
    ]
    text = "\n".join(lines) or "# no product"
    print_result([product.as_json() for product in found], text, as_json=as_json)
