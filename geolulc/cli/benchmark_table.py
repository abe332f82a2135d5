"""``geolulc benchmark-table``: the six models of the seed's table on a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geolulc.cli.options import (
    OUTPUT,
    PATH,
    epochs_option,
    read_settings,
    settings_options,
    shared_options,
    split_option,
)
from geolulc.cli.results import print_result

if TYPE_CHECKING:
    from geolulc.learning.trackers import Tracker


@click.command("benchmark-table")
@click.argument("store", type=PATH)
@click.argument("runs", type=OUTPUT)
@split_option("test")
@epochs_option
@settings_options("File of settings for all six.")
@shared_options("device", "quiet", "json")
def command(
    store: Path,
    runs: Path,
    split: str,
    config: Path | None,
    epochs: int | None,
    settings: tuple[str, ...],
    device: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train and score the six models of the published table, and print both side by side.

    The runs go into the folder RUNS; the same command goes on where it was stopped.

    \b
    Example:
        geolulc benchmark-table ben.store runs/
    """
    from geolulc.cli.train import TerminalTracker
    from geolulc.learning.seed_table import make_seed_table

    def trackers(name: str) -> Sequence[Tracker]:
        return () if quiet else (TerminalTracker(name),)

    changes = read_settings(config, settings, {"epochs": epochs})
    table = make_seed_table(store, runs, changes, split=split, device=device, trackers=trackers)
    print_result(table.as_json(), table.as_markdown(), as_json=as_json)
