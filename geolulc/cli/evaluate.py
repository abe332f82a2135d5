"""``geolulc evaluate``: the figures of a model on a store."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geolulc.cli.options import OUTPUT, PATH, shared_options, split_option
from geolulc.cli.results import print_result, progress_bar
from geolulc.safe_texts import one_line

if TYPE_CHECKING:
    from geolulc.learning.evaluation import SplitFigures


@click.command("evaluate")
@click.argument("model", type=PATH)
@click.argument("store", type=PATH)
@split_option("val")
@click.option("--seed-compat", is_flag=True, help="Add ranking figures as the seed computed them.")
@click.option("--report", type=OUTPUT, metavar="DIR", help="Write a report with plots into DIR.")
@click.option("--predictions", type=OUTPUT, metavar="GPKG", help="Write the patches as polygons.")
@shared_options("overwrite", "device", "quiet", "json")
def command(
    model: Path,
    store: Path,
    split: str,
    seed_compat: bool,
    report: Path | None,
    predictions: Path | None,
    overwrite: int,
    device: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Score MODEL (a checkpoint, a run's folder, a shipped model) on a split of STORE.

    A model of pixels is compared with the reference maps of STORE: agreement with CORINE.
    """
    from geolulc.staging import require_free

    # said at once, before libraries are loaded
    for path in (report, predictions):
        if path is not None:
            require_free([path], overwrite=overwrite, kind="report" if path is report else "")
    from geolulc.datasets import open_store
    from geolulc.learning.evaluation import evaluate_predictions, predict
    from geolulc.nets import load_checkpoint

    loaded, opened = load_checkpoint(model), open_store(store)
    if loaded.net.task == "pixel":
        if seed_compat or predictions is not None:
            raise click.UsageError("--seed-compat and --predictions are for models of patches.")
        from geolulc.learning.pixel_evaluation import evaluate_pixels
        from geolulc.learning.pixel_report import write_pixel_report

        with progress_bar("evaluate", "patches", quiet=quiet) as progress:
            pixels = evaluate_pixels(loaded, opened, split, device=device, progress=progress)
        if report is not None:
            write_pixel_report(loaded, opened, pixels, report, device=device, overwrite=overwrite)
        print_result(pixels.as_json(), _text(pixels), as_json=as_json)
        return
    with progress_bar("evaluate", "patches", quiet=quiet) as progress:
        predicted = predict(loaded, opened, split, device=device, progress=progress)
    evaluation = evaluate_predictions(predicted, seed_compat=seed_compat)
    if report is not None:
        from geolulc.learning.report import write_report

        write_report(predicted, evaluation, report, overwrite=overwrite)
    if predictions is not None:
        from geolulc.learning.footprints import write_footprints

        write_footprints(predicted, predictions, overwrite=overwrite)
    print_result(evaluation.as_json(), _text(evaluation), as_json=as_json)


def _text(evaluation: SplitFigures) -> str:
    names = evaluation.names
    subject = one_line(f"{evaluation.model['name']} on {evaluation.store}, {evaluation.split}")
    lines = [f"{subject}: {evaluation.facts}", *(f"  {remark}" for remark in evaluation.remarks)]
    width = max(len(name) for name in evaluation.figures)
    lines += [f"  {name:<{width}}  {_number(name, v)}" for name, v in evaluation.figures.items()]
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
            f"  {title} {one_line(name)}: {group['patches']:.0f} patches, "
            + ", ".join(f"{text} {_number(key, group[key])}" for key, text in names.groups.items())
            for name, group in groups.items()
        ]
    return "\n".join(lines)


def _number(name: str, value: float) -> str:
    from geolulc.learning.task_figures import COUNTS

    if not math.isfinite(value):
        return "  –  "
    return f"{value:,.0f}" if name in COUNTS else f"{value:.3f}"
