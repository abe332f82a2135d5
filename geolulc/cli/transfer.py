"""``geolulc transfer``: from region to region."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geolulc.cli.options import (
    OUTPUT,
    PATH,
    names,
    out_option,
    read_settings,
    settings_options,
    shared_options,
    take_fields,
    whole_numbers,
)
from geolulc.cli.results import print_result, progress_bar, say

if TYPE_CHECKING:
    from geolulc.transfer.experiment import Outcome
    from geolulc.transfer.plan import Plan


@click.command("transfer")
@click.argument("store", type=PATH)
@out_option("Folder of the experiment.", type=OUTPUT, metavar="DIR")
@click.option(
    "--sources", type=names, required=True, metavar="A,B|all", help="Regions to train in."
)
@click.option("--targets", type=names, required=True, metavar="A,B|all", help="Regions to test in.")
@click.option(
    "--by",
    default="country",
    show_default=True,
    metavar="country|season|tile",
    help="Property of a patch that makes its region.",
)
@click.option(
    "--regions", type=PATH, metavar="FILE", help="File of polygons of regions, in place of --by."
)
@click.option(
    "--region-name",
    metavar="COLUMN",
    help="Column of the regions' names.  [default: the first with text]",
)
@click.option(
    "--target-sizes",
    type=whole_numbers,
    default="0",
    show_default=True,
    metavar="0,100,1000",
    help="Numbers of patches of the target to fine-tune with; 0: none.",
)
@click.option(
    "--subsets",
    type=PATH,
    metavar="DIR",
    help="Folder of lists of the patches to fine-tune with: REGION/SIZE_train.csv, or the paper's "
    "chunks.",
)
@click.option(
    "--fine-tuning",
    type=names,
    default="full",
    show_default=True,
    metavar="head,full,linear-probe-first",
    help="What is fine-tuned: the last layer, the whole network, or one after the other.",
)
@click.option(
    "--validate-on",
    default="source",
    show_default=True,
    metavar="source|target",
    help="Region whose validation patches choose the epoch.",
)
@click.option(
    "--remedies",
    type=names,
    default="none",
    show_default=True,
    metavar="none,mask,prior,balanced",
    help="Remedies to compare, for regions that differ in their classes; mask+prior uses both.",
)
@click.option(
    "--pooled",
    default="without-target",
    show_default=True,
    metavar="without-target|all|none",
    help="Train on all sources together, too: on those that are not the target, or on all.",
)
@click.option(
    "--seeds",
    type=whole_numbers,
    default="0",
    show_default=True,
    metavar="0,1,2",
    help="Seeds of random choices: all is done once for each.",
)
@settings_options("File of settings of training.")
@click.option(
    "--fine-tune-steps",
    type=int,
    default=500,
    show_default=True,
    help="Steps of the optimiser in each fine-tuning, and in each training from scratch.",
)
@click.option(
    "--fine-tune-rate",
    type=float,
    default=0.0,
    help="Learning rate of fine-tuning.  [default: a tenth of training's]",
)
@click.option(
    "--encoder",
    type=PATH,
    metavar="MODEL",
    help="Compare regions in the features of this model, too.",
)
@click.option("--keep-models", is_flag=True, help="Keep fine-tuned models too.")
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Jobs at a time; each takes a GPU where there are several.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="A Dask cluster, tcp://HOST:8786, whose workers do the jobs.",
)
@click.option("--dry-run", is_flag=True, help="Only print the jobs and their cost.")
@shared_options("overwrite", "device", "quiet", "json")
def command(
    store: Path,
    by: str,
    regions: Path | None,
    region_name: str | None,
    subsets: Path | None,
    config: Path | None,
    settings: tuple[str, ...],
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train in each source region of STORE, test in each target; DIR gets report.md.

    Run it again to go on where it was stopped; run it on several machines with the same DIR to
    share the work.

    \b
    Example:
        geolulc transfer ben.store --sources all --targets Finland,Portugal --out transfer/
    """
    from geolulc.datasets import open_store
    from geolulc.learning.config import TrainConfig
    from geolulc.transfer.regions import find_regions
    from geolulc.transfer.settings import TransferConfig

    if options["scheduler"] is not None and options["processes"] > 1:
        raise click.UsageError("--processes are of this machine, --scheduler has workers: give one")
    options["training"] = TrainConfig.from_mapping(read_settings(config, settings))
    opened = open_store(store)
    found = find_regions(opened, by, polygons=regions, column=region_name)
    if subsets is not None:
        from geolulc.transfer.subsets import with_subsets

        found = with_subsets(opened, found, subsets)
    for name in ("sources", "targets"):
        if options[name] == ("all",):
            options[name] = tuple(found)
    experiment = take_fields(TransferConfig, options)

    from geolulc.transfer.plan import make_plan

    if dry_run:
        from geolulc.transfer.cost import count_work

        plan = make_plan(opened, found, experiment)
        work = count_work(opened, found, experiment, plan)
        print_result(work, _work(plan, work), as_json=as_json)
        return

    from geolulc.learning.interruption import TrainingInterrupted
    from geolulc.transfer.experiment import run_transfer

    try:
        with progress_bar("transfer", "jobs", quiet=quiet) as progress:
            outcome = run_transfer(
                opened,
                found,
                experiment,
                regions_from=by if regions is None else regions.name,
                **options,
                progress=progress,
            )
    except (TrainingInterrupted, KeyboardInterrupt) as stop:
        say(f"geolulc: {options['out']}: stopped; the same command goes on", err=True)
        sys.exit(128 + getattr(stop, "number", signal.SIGINT))
    result = {
        "jobs": len(outcome.plan.jobs),
        "runs": list(outcome.rows),
        "failed": dict(outcome.failed),
        "files": {name: str(path) for name, path in outcome.files.items()},
    }
    print_result(result, _text(outcome, experiment.remedies[0]), as_json=as_json)
    for job, reason in outcome.failed.items():
        say(f"geolulc: {job}: {reason}", err=True)
    if outcome.failed:
        sys.exit(1)


def _work(plan: Plan, work: dict[str, Any]) -> str:
    lines = [f"{len(plan.jobs)} jobs"]
    lines += [
        f"  {kind}: {found['jobs']}, {found['patches_trained']:,} patches learned from, "
        f"{found['patches_scored']:,} scored"
        for kind, found in work["kinds"].items()
    ]
    lines += [f"  left out: {size} patches of {t}, which has {n}" for t, size, n in plan.too_large]
    lines.append(
        f"all: {work['patches_trained']:,} patches learned from, {work['patches_scored']:,} scored"
    )
    return "\n".join(lines)


def _text(outcome: Outcome, remedy: str) -> str:
    from geolulc.transfer.tables import measure

    lines = []
    for cell, value in measure(outcome.rows, "ap_macro").items():
        if cell.remedy == remedy or cell.mode == "scratch":
            how = cell.mode if not cell.size else f"{cell.mode}, {cell.size} patches"
            lines.append(f"{cell.source} → {cell.target}, {how}: AP macro {value}")
    lines.append(f"{outcome.files['report.md']}: {len(outcome.rows)} tests")
    return "\n".join(lines)
