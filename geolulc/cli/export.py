"""``geolulc export``: a model for other runtimes."""

from __future__ import annotations

from pathlib import Path

import click

from geolulc.cli.options import PATH_OR_TEXT, RESULT, band_order_option, shared_options
from geolulc.cli.results import print_result


@click.command("export")
@click.argument("model", type=PATH_OR_TEXT)
@click.option("--onnx", "out", type=RESULT, required=True, help="The ONNX file to write.")
@click.option(
    "--form",
    type=click.Choice(("raw", "deepness")),
    default="raw",
    show_default=True,
    help="raw: the graph takes the numbers of the product's files and their offsets, and gives "
    "probabilities. deepness: it takes one image of 12 bands with 8 bits and gives a map, for the "
    "QGIS plugin Deepness.",
)
@band_order_option
@shared_options("overwrite", "json")
def command(
    model: str, out: Path, form: str, band_order: str | None, overwrite: int, as_json: bool
) -> None:
    """Write MODEL as an ONNX graph of any batch size, preprocessing inside.

    MODEL is a checkpoint, a run folder, a shipped model's name or a published model.

    \b
    Example:
        geolulc export runs/first --onnx model.onnx
    """
    from geolulc.staging import require_free

    require_free([out], overwrite=overwrite)  # said at once, before libraries are loaded
    from geolulc.nets.checkpoint import load_checkpoint
    from geolulc.nets.onnx_export import export_onnx

    loaded = load_checkpoint(model, band_order=band_order)
    described = export_onnx(loaded, out, form=form, overwrite=overwrite)
    text = f"{out}: {form} form of {loaded.name}\n" + "\n".join(
        f"{ends}: {', '.join(described[ends])}" for ends in ("inputs", "outputs")
    )
    if loaded.net.geographic_prior is not None:
        text += "\nwithout its geographic prior: a graph knows no place"
    print_result({"path": str(out), **described}, text, as_json=as_json)
