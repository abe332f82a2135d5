"""``geolulc models``: which models there are, their cards, and fetching published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geolulc.cli.options import PATH, json_option, out_option, shared_options
from geolulc.cli.results import print_result, say


@click.group("models", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the models that geolulc knows: shipped, published, and encoders to start from.

    \b
    Examples:
        geolulc models
        geolulc models show dynamicworld
        geolulc models fetch dynamicworld
    """
    if ctx.invoked_subcommand is not None:
        return
    from geolulc.nets.catalogue import list_models

    rows = list_models()
    print_result(rows, "\n".join(_table(rows)), as_json=as_json)


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Print the card of the model NAME.

    \b
    Example:
        geolulc models show bigearthnet-few-patches
    """
    from geolulc.nets.catalogue import show_model

    say(show_model(name).rstrip())


@command.command("fetch")
@click.argument("name")
def fetch(name: str) -> None:
    """Download the published model NAME into the local cache and print where it is.

    \b
    Example:
        geolulc models fetch dynamicworld
    """
    from geolulc.nets.catalogue import fetch_model

    say(fetch_model(name))


@command.command("record")
@click.argument("model", type=PATH)
@click.argument("store", type=PATH)
@out_option("New .safetensors.")
@shared_options("overwrite")
def record(model: Path, store: Path, out: Path, overwrite: bool) -> None:
    """Add to a checkpoint MODEL what it learned from: the train split of STORE.

    Its places, months and spectra, which maps are compared with; training does it by itself.

    \b
    Example:
        geolulc models record model.safetensors ben.store --out recorded.safetensors
    """
    from geolulc.datasets import open_store
    from geolulc.datasets.domain import training_domain
    from geolulc.nets.checkpoint import load_checkpoint, record_domain

    domain = training_domain(open_store(store), bands=load_checkpoint(model).net.band_names)
    record_domain(model, domain, out, overwrite=overwrite)
    say(out)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    columns = {name: name for name in ("name", "kind", "bands", "classes", "MB", "licence")}
    columns |= {"MB": "megabytes", "where": "where", "scores": "scores", "source": "source"}
    cells = [list(columns)]
    for row in rows:
        here = row["where"] if row["where"] == "hub" else "here"
        values = {**row, "where": here}
        cells.append(["" if values[k] in (None, 0) else str(values[k]) for k in columns.values()])
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
