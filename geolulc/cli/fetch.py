"""``geolulc fetch``: products by name from the Copernicus Data Space."""

from __future__ import annotations

from pathlib import Path

import click

from geolulc.cli.options import OUTPUT, PATH_OR_TEXT, remote_options, shared_options
from geolulc.cli.results import exit_with_errors, print_result, progress_bar


@click.command("fetch")
@click.argument("names", nargs=-1, required=True, type=PATH_OR_TEXT, metavar="NAME…")
@click.option(
    "--level",
    type=click.Choice(("L2A", "L1C")),
    help="Take the products of the same tiles and moments at this level.  [default: the level "
    "that each name says]",
)
@click.option("--out", "-o", type=OUTPUT, required=True, help="Folder for the products, NAME.zip.")
@click.option(
    "--parallel",
    type=click.IntRange(1, 4),
    default=2,
    show_default=True,
    help="Products that are downloaded at a time; an account may have 4.",
)
@remote_options
@shared_options("quiet", "json")
def command(
    names: tuple[str, ...],
    level: str | None,
    out: Path,
    parallel: int,
    service: str | None,
    allow_internal: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Download products by name from the Copernicus Data Space, as zips that geolulc map reads.

    A .txt lists names: the first word of each line. Credentials are those of the environment, or
    of ~/.netrc for identity.dataspace.copernicus.eu. The same command again resumes what was cut
    off; what is there and right is not asked for. Each download is compared with its checksum.

    \b
    Examples:
        export CDSE_USERNAME=… CDSE_PASSWORD=…
        geolulc fetch S2B_MSIL2A_20240625T101031_N0510_R022_T32TPS_20240625T151031 --out scenes/
        geolulc fetch found.txt --level L1C --out scenes/
    """
    from geolulc.remote.client import Client
    from geolulc.remote.copernicus import Service
    from geolulc.remote.fetching import fetch_products, list_names

    listed = list_names(names)
    with (
        Client(allow_internal=allow_internal) as client,
        progress_bar("Download", "MB", quiet=quiet) as progress,
    ):
        results = fetch_products(
            client,
            listed,
            out,
            level=level,
            parallel=parallel,
            service=Service.at(service),
            progress=progress,
        )
    described = [
        {
            "name": r.name,
            "path": None if r.path is None else str(r.path),
            "there": r.there,
            "error": None if r.error is None else str(r.error),
        }
        for r in results
    ]
    text = "\n".join(str(r.path) for r in results if r.path is not None)
    print_result(described, text, as_json=as_json)
    exit_with_errors([result.error for result in results], "products")
