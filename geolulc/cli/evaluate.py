"""``geolulc evaluate``: the figures of a model on a store."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geolulc.cli.options import PATH, RESULT, baseline_option, shared_options, split_option
from geolulc.cli.results import print_result, progress_bar
from geolulc.safe_texts import one_line

if TYPE_CHECKING:
    from geolulc.learning.split_figures import SplitFigures


@click.command("evaluate")
@click.argument("models", type=PATH, nargs=-1, required=True, metavar="MODEL [MODEL]")
@click.argument("store", type=PATH)
@split_option("val")
@click.option(
    "--seed-compat",
    is_flag=True,
    help="Add ranking figures as the published experiments computed them.",
)
@click.option(
    "--report", type=RESULT, metavar="DIR", help="Write a report with plots into the folder DIR."
)
@click.option(
    "--predictions",
    type=RESULT,
    metavar="FILE",
    help="Write the patches with their probabilities, as polygons.",
)
@baseline_option(
    "Of a model of pixels: score a random forest of the store's train split beside it."
)
@shared_options("overwrite", "device", "quiet", "json")
def command(
    models: tuple[Path, ...],
    store: Path,
    split: str,
    seed_compat: bool,
    report: Path | None,
    predictions: Path | None,
    baseline: str | None,
    overwrite: int,
    device: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Score MODEL (a checkpoint, a run's folder, a shipped model) on a split of STORE.

    Of two models of patches, compare the figures on the same patches: the difference with its
    interval of 95 %, by resampling whole tiles.

    Models of fractions and pixels are compared with the reference maps of STORE: CORINE, or own
    labels.

    \b
    Examples:
        geolulc evaluate runs/first ben.store --split test --report report/
        geolulc evaluate runs/first runs/second ben.store
    """
    if len(models) > 2:
        raise click.UsageError("Compare two models at most.")
    if len(models) == 2:
        if seed_compat or report is not None or predictions is not None or baseline is not None:
            raise click.UsageError(
                "--seed-compat, --report, --predictions and --baseline are for one model at a time."
            )
        _compare(models, store, split, device=device, quiet=quiet, as_json=as_json)
        return
    from geolulc.staging import require_free

    # said at once, before libraries are loaded
    for path in (report, predictions):
        if path is not None:
            require_free([path], overwrite=overwrite, kind="report" if path is report else "")
    from geolulc.datasets import open_store
    from geolulc.learning.any_task import evaluate_model
    from geolulc.nets import load_checkpoint

    loaded, opened = load_checkpoint(models[0]), open_store(store)
    if loaded.net.task != "patch" and (seed_compat or predictions is not None):
        raise click.UsageError("--seed-compat and --predictions are for models of patches.")
    if loaded.net.task != "pixel" and baseline is not None:
        raise click.UsageError("--baseline is for models of pixels.")
    with progress_bar("evaluate", "patches", quiet=quiet) as progress:
        found = evaluate_model(
            loaded,
            opened,
            split,
            baseline=baseline is not None,
            seed_compat=seed_compat,
            device=device,
            progress=progress,
        )
    if report is not None:
        found.write_report(report, overwrite=overwrite)
    if predictions is not None and found.predictions is not None:
        from geolulc.learning.footprints import write_footprints

        write_footprints(found.predictions, predictions, overwrite=overwrite)
    print_result(found.figures.as_json(), _text(found.figures), as_json=as_json)


def _compare(
    models: tuple[Path, ...], store: Path, split: str, *, device: str, quiet: bool, as_json: bool
) -> None:
    from geolulc.datasets import open_store
    from geolulc.datasets.statistics import without_nan
    from geolulc.learning.evaluation import compare_predictions, predict
    from geolulc.learning.intervals import FEWEST_CLUSTERS
    from geolulc.learning.leaks import leak_of, touching
    from geolulc.nets import load_checkpoint

    opened, made = open_store(store), []
    for model in models:
        with progress_bar(f"evaluate {model}", "patches", quiet=quiet) as progress:
            loaded = load_checkpoint(model)
            made.append(predict(loaded, opened, split, device=device, progress=progress))
    first, second = made
    found = compare_predictions(first, second)
    clusters = first.resampled.clusters
    lines = [
        f"{models[0]} against {models[1]} on {opened.path.name}, {split}: "
        f"{_patches(len(first.patches))}, {clusters} tiles",
        f"  {'':<18}{'first':>9}{'second':>9}{'difference, 95 %':>31}{'p':>9}",
    ]
    for name, d in found.items():
        apart = f"{d.first - d.second:+.3f}" if math.isfinite(d.first - d.second) else "–"
        within = f"{apart}{_spread((d.low, d.high), '+')}"
        lines.append(
            f"  {name:<18}{_number(name, d.first):>9}{_number(name, d.second):>9}"
            f"{within:>31}{_number(name, d.p):>9}"
        )
    leaks = {m: touching(p.model, p.patches) for m, p in zip(models, made, strict=True)}
    lines += [f"  {m}: {text}" for m, n in leaks.items() for text in leak_of(n, len(first.patches))]
    if clusters < FEWEST_CLUSTERS:
        lines.append(f"  No intervals: {clusters} tiles are too few to resample.")
    plain = {
        "models": [str(model) for model in models],
        "store": opened.path.name,
        "split": split,
        "patches": len(first.patches),
        "clusters": clusters,
        "touching": {str(model): count for model, count in leaks.items()},
        "figures": {name: d.as_json() for name, d in found.items()},
    }
    print_result(without_nan(plain), "\n".join(lines), as_json=as_json)


def _patches(count: float) -> str:
    from geolulc.learning.task_figures import FEW, FEWEST_PATCHES

    return f"{count:.0f} patches{FEW if count < FEWEST_PATCHES else ''}"


def _spread(interval: tuple[float, float] | None, sign: str = "") -> str:
    if interval is None or not math.isfinite(interval[0]):
        return ""
    low, high = interval
    return f"  ({low:{sign}.3f} … {high:{sign}.3f})"


def _text(evaluation: SplitFigures) -> str:
    names = evaluation.names
    subject = one_line(f"{evaluation.model['name']} on {evaluation.store}, {evaluation.split}")
    lines = [f"{subject}: {evaluation.facts}", *(f"  {remark}" for remark in evaluation.remarks)]
    width = max(len(name) for name in evaluation.figures)
    lines += [
        f"  {name:<{width}}  {_number(name, v)}{_spread(evaluation.intervals.get(name))}"
        for name, v in evaluation.figures.items()
    ]
    lines.append(f"  {'class':<40}" + "".join(f"{title:>11}" for title in names.columns.values()))
    lines += [
        f"  {row['name'][:40]:<40}"
        + "".join(f"{_number(key, row[key]):>11}" for key in names.columns)
        for row in evaluation.classes
        if row["support"]
    ]
    if evaluation.missing:
        lines.append(f"  {names.missing}: {'; '.join(evaluation.missing)}")
    for title, groups in (("country", evaluation.countries), ("season", evaluation.seasons)):
        lines += [
            f"  {title} {one_line(name)}: {_patches(group['patches'])}, "
            + ", ".join(f"{text} {_number(key, group[key])}" for key, text in names.groups.items())
            for name, group in groups.items()
        ]
    return "\n".join(lines)


def _number(name: str, value: float) -> str:
    from geolulc.learning.task_figures import COUNTS

    if not math.isfinite(value):
        return "  –  "
    return f"{value:,.0f}" if name in COUNTS else f"{value:.3f}"
