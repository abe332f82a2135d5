"""``geolulc transfer``: from region to region."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geolulc.cli.options import PATH, device_option, json_option, overwrite_option, quiet_option
from geolulc.cli.progress import progress_bar

if TYPE_CHECKING:
    from geolulc.transfer.experiment import Outcome
    from geolulc.transfer.plan import Plan


@click.command("transfer")
@click.argument("store", type=PATH)
@click.option("--out", type=PATH, required=True, metavar="DIR", help="Folder of the experiment.")
@click.option("--sources", required=True, metavar="A,B|all", help="Regions to train in.")
@click.option("--targets", required=True, metavar="A,B|all", help="Regions to test in.")
@click.option("--by", default="country", show_default=True, metavar="country|season|tile")
@click.option("--regions", type=PATH, metavar="FILE", help="Polygons, in place of --by.")
@click.option("--region-name", metavar="COLUMN", help="Column of their names [first of text].")
@click.option("--target-sizes", default="0", show_default=True, metavar="0,100,1000",
              help="Target patches to fine-tune with; 0 is zero-shot.")  # fmt: skip
@click.option("--subsets", type=PATH, metavar="DIR",
              help="Lists of them: REGION/SIZE_train.csv, or the paper's chunk files.")  # fmt: skip
@click.option("--fine-tuning", default="full", show_default=True,
              metavar="head,full,linear-probe-first")  # fmt: skip
@click.option("--validate-on", default="source", show_default=True, metavar="source|target")
@click.option("--remedies", default="none", show_default=True, metavar="none,mask,prior,balanced",
              help="Compared; mask+prior uses both.")  # fmt: skip
@click.option("--pooled", default="without-target", show_default=True,
              metavar="without-target|all|none", help="Train on all sources together.")  # fmt: skip
@click.option("--seeds", default="0", show_default=True, metavar="0,1,2", help="Repetitions.")
@click.option("--config", type=PATH, metavar="TOML", help="Settings of training.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One such setting.")
@click.option("--fine-tune-epochs", type=int, default=0, help="[as in training]")
@click.option("--fine-tune-rate", type=float, default=0.0, help="[a tenth of learning_rate]")
@click.option("--encoder", type=PATH, metavar="MODEL", help="Compare regions in its features.")
@click.option("--keep-models", is_flag=True, help="Keep fine-tuned models too.")
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True,
              help="Jobs at a time; each takes a GPU where there are several.")  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS",
              help="A Dask cluster, tcp://HOST:8786, whose workers do the jobs.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what there is to do.")
@overwrite_option
@device_option
@quiet_option
@json_option
def command(
    store: Path,
    out: Path,
    sources: str,
    targets: str,
    by: str,
    regions: Path | None,
    region_name: str | None,
    target_sizes: str,
    subsets: Path | None,
    fine_tuning: str,
    validate_on: str,
    remedies: str,
    pooled: str,
    seeds: str,
    config: Path | None,
    settings: tuple[str, ...],
    fine_tune_epochs: int,
    fine_tune_rate: float,
    encoder: Path | None,
    keep_models: bool,
    processes: int,
    scheduler: str | None,
    dry_run: bool,
    overwrite: bool,
    device: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train in each source region of STORE, test in each target; DIR gets report.md.

    Run it again to go on where it was stopped; run it on several machines with the same DIR to
    share the work.
    """
    from geolulc.datasets import open_store
    from geolulc.learning.config import TrainConfig, parse_setting, read_config
    from geolulc.transfer.regions import find_regions
    from geolulc.transfer.settings import TransferConfig

    if scheduler is not None and processes > 1:
        raise click.UsageError("--processes are of this machine, --scheduler has workers: give one")
    given: dict[str, Any] = {} if config is None else read_config(config)
    given |= dict(parse_setting(text) for text in settings)
    training = TrainConfig.from_mapping(given)
    opened = open_store(store)
    found = find_regions(opened, by, polygons=regions, column=region_name)
    if subsets is not None:
        from geolulc.transfer.subsets import with_subsets

        found = with_subsets(opened, found, subsets)
    experiment = TransferConfig(
        sources=tuple(found) if sources == "all" else _names(sources),
        targets=tuple(found) if targets == "all" else _names(targets),
        target_sizes=_numbers("--target-sizes", target_sizes),
        fine_tuning=_names(fine_tuning),
        validate_on=validate_on,
        remedies=_names(remedies),
        pooled=pooled,
        seeds=_numbers("--seeds", seeds),
        training=training,
        fine_tune_epochs=fine_tune_epochs,
        fine_tune_rate=fine_tune_rate,
        keep_models=keep_models,
    )

    from geolulc.transfer.plan import make_plan

    if dry_run:
        from geolulc.transfer.cost import count_work

        plan = make_plan(opened, found, experiment)
        work = count_work(opened, found, experiment, plan)
        click.echo(json.dumps(work) if as_json else _work(plan, work))
        return

    from geolulc.learning.interruption import TrainingInterrupted
    from geolulc.transfer.experiment import run_transfer

    try:
        with progress_bar("transfer", "jobs", quiet=quiet) as progress:
            outcome = run_transfer(
                opened,
                found,
                experiment,
                out,
                regions_from=by if regions is None else regions.name,
                encoder=encoder,
                device=device,
                processes=processes,
                scheduler=scheduler,
                overwrite=overwrite,
                progress=progress,
            )
    except TrainingInterrupted as stop:
        click.echo(f"geolulc: {out}: stopped; the same command goes on", err=True)
        sys.exit(128 + stop.number)
    click.echo(_as_json(outcome) if as_json else _text(outcome, experiment.remedies[0]))
    for job, reason in outcome.failed.items():
        click.echo(f"geolulc: {job}: {reason}", err=True)
    if outcome.failed:
        sys.exit(1)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _names(text))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a list of whole numbers", param_hint=option
        ) from None


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


def _as_json(outcome: Outcome) -> str:
    return json.dumps(
        {
            "jobs": len(outcome.plan.jobs),
            "runs": list(outcome.rows),
            "failed": dict(outcome.failed),
            "files": {name: str(path) for name, path in outcome.files.items()},
        }
    )


def _text(outcome: Outcome, remedy: str) -> str:
    from geolulc.transfer.tables import measure

    lines = []
    for cell, value in measure(outcome.rows, "ap_macro").items():
        if cell.remedy == remedy or cell.mode == "scratch":
            how = cell.mode if not cell.size else f"{cell.mode}, {cell.size} patches"
            lines.append(f"{cell.source} → {cell.target}, {how}: AP macro {value}")
    lines.append(f"{outcome.files['report.md']}: {len(outcome.rows)} tests")
    return "\n".join(lines)
