"""``geolulc evaluate``: the figures of a model on a store."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geolulc.cli.options import PATH, device_option, json_option, overwrite_option, quiet_option
from geolulc.cli.progress import progress_bar

if TYPE_CHECKING:
    from geolulc.datasets import Store
    from geolulc.learning.evaluation import Evaluation
    from geolulc.learning.pixel_evaluation import PixelEvaluation
    from geolulc.nets import Model


@click.command("evaluate")
@click.argument("model", type=PATH)
@click.argument("store", type=PATH)
@click.option("--split", default="val", show_default=True, metavar="train|val|test")
@click.option("--seed-compat", is_flag=True, help="Add ranking figures as the seed computed them.")
@click.option("--report", type=PATH, metavar="DIR", help="Write a report with plots into DIR.")
@click.option("--predictions", type=PATH, metavar="GPKG", help="Write the patches' footprints.")
@overwrite_option
@device_option
@quiet_option
@json_option
def command(
    model: Path,
    store: Path,
    split: str,
    seed_compat: bool,
    report: Path | None,
    predictions: Path | None,
    overwrite: bool,
    device: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Score MODEL (a checkpoint, a run's folder, a shipped model) on a split of STORE.

    A model of pixels is compared with the reference maps of STORE: agreement with CORINE.
    """
    from geolulc.datasets import open_store
    from geolulc.learning.evaluation import evaluate_predictions, predict
    from geolulc.nets import load_checkpoint
    from geolulc.staging import require_free

    for path in (report, predictions):
        if path is not None:
            require_free([path], overwrite=overwrite)
    loaded, opened = load_checkpoint(model), open_store(store)
    if loaded.net.task == "pixel":
        if seed_compat or predictions is not None:
            raise click.UsageError("--seed-compat and --predictions are for models of patches.")
        found = _evaluate_pixels(loaded, opened, split, report, overwrite, device, quiet)
        click.echo(json.dumps(found.as_json()) if as_json else _pixel_text(found))
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
    click.echo(json.dumps(evaluation.as_json()) if as_json else _text(evaluation))


def _evaluate_pixels(
    model: Model,
    store: Store,
    split: str,
    report: Path | None,
    overwrite: bool,
    device: str,
    quiet: bool,
) -> PixelEvaluation:
    from geolulc.learning.pixel_evaluation import evaluate_pixels

    with progress_bar("evaluate", "patches", quiet=quiet) as progress:
        evaluation = evaluate_pixels(model, store, split, device=device, progress=progress)
    if report is not None:
        from geolulc.learning.pixel_report import write_pixel_report

        write_pixel_report(model, store, evaluation, report, device=device, overwrite=overwrite)
    return evaluation


def _pixel_text(evaluation: PixelEvaluation) -> str:
    lines = [
        f"{evaluation.model['name']} on {evaluation.store}, {evaluation.split}: "
        f"{evaluation.patches} patches, {evaluation.pixels:,} pixels "
        f"({100 * evaluation.ignored:.1f} % without a class, not counted)",
        f"  {evaluation.caution}",
    ]
    width = max(len(name) for name in evaluation.figures)
    lines += [f"  {name:<{width}}  {_number(v)}" for name, v in evaluation.figures.items()]
    lines.append(f"  {'class':<40}      pixels    IoU     F1  precision  recall")
    lines += [
        f"  {row['name'][:40]:<40} {row['support']:11,.0f}  {_number(row['iou'])}"
        f"  {_number(row['f1'])}  {_number(row['precision']):>9}   {_number(row['recall'])}"
        for row in evaluation.classes
        if row["support"]
    ]
    if evaluation.absent:
        lines.append(f"  absent, out of the means: {'; '.join(evaluation.absent)}")
    for title, groups in (("country", evaluation.countries), ("season", evaluation.seasons)):
        lines += [
            f"  {title} {name}: {group['patches']:.0f} patches, mIoU {_number(group['miou'])}, "
            f"agreement {_number(group['agreement'])}"
            for name, group in groups.items()
        ]
    return "\n".join(lines)


def _text(evaluation: Evaluation) -> str:
    lines = [f"{evaluation.model['name']} on {evaluation.store}, {evaluation.split}"]
    lines[0] += f": {evaluation.patches} patches"
    width = max(len(name) for name in evaluation.figures)
    lines += [f"  {name:<{width}}  {_number(v)}" for name, v in evaluation.figures.items()]
    rows = [r for r in evaluation.classes if r["support"]]
    lines.append(f"  {'class':<40} support     AP   precision  recall     F1  threshold")
    for row in rows:
        lines.append(
            f"  {row['name'][:40]:<40} {row['support']:7.0f}  {_number(row['ap'])}"
            f"  {_number(row['precision']):>9}  {_number(row['recall'])}  {_number(row['f1'])}"
            f"  {row['threshold']:9.3f}"
        )
    if evaluation.without_positive:
        lines.append(
            f"  without a positive, out of macro: {'; '.join(evaluation.without_positive)}"
        )
    for title, groups in (("country", evaluation.countries), ("season", evaluation.seasons)):
        lines += [
            f"  {title} {name}: {group['patches']:.0f} patches, AP macro "
            f"{_number(group['ap_macro'])}, micro {_number(group['ap_micro'])}"
            for name, group in groups.items()
        ]
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "  –  "
