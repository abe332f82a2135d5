"""``geolulc view``: a map in a browser."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path

import click

from geolulc.cli.options import PATH
from geolulc.cli.results import say


@click.command("view")
@click.argument("map_path", metavar="MAP", type=PATH)
@click.option("--tiles", is_flag=True, help="Serve the map, although there is a report beside it.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port of this machine to serve the map at; 0 takes one that is free.",
)
@click.option(
    "--browser/--no-browser", default=True, help="Open a browser, or only print the address."
)
def command(map_path: Path, tiles: bool, port: int, browser: bool) -> None:
    """Show the map.tif MAP in a browser: its report, or the map itself, of any size.

    Where geolulc wrote a report beside the map (--report), that is opened. Otherwise the map is
    served to this machine alone until Ctrl-C: drag and zoom it, click to ask what is there. No
    network is used.

    \b
    Examples:
        geolulc view map.tif
        geolulc view country.tif --tiles --no-browser --port 8000
    """
    report = map_path.with_suffix(".html")
    if not tiles and report.is_file():
        say(report)
        if browser:
            webbrowser.open(report.resolve().as_uri())
        return
    from geolulc.analysis.viewer import served_map

    with served_map(map_path, port=port) as address:
        say(address)
        if browser:
            webbrowser.open(address)
        threading.Event().wait()
