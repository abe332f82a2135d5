"""``geolulc stac``: a STAC Item of a model."""

from __future__ import annotations

from pathlib import Path

import click

from geolulc.cli.options import PATH, out_option, shared_options
from geolulc.cli.results import print_files


@click.command("stac")
@click.argument("model", type=PATH)
@out_option("The .json to write.")
@shared_options("overwrite", "json")
def command(model: Path, out: Path, overwrite: int, as_json: bool) -> None:
    """Describe MODEL as a STAC Item with the Machine Learning Model extension.

    ``geolulc map`` writes one beside every map; this is for publishing the model itself. The
    Item points at the checkpoint relative to --out.

    \b
    Example:
        geolulc stac runs/first --out model.json
    """
    from geolulc.staging import require_free

    require_free([out], overwrite=overwrite)  # said at once, before libraries are loaded
    from geolulc.nets import describe_model
    from geolulc.outputs import save_model_item

    save_model_item(describe_model(model), out, overwrite=overwrite)
    print_files({}, {"item": out}, lambda _, files: files["item"], as_json=as_json)
