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
    from geolulc.learning.evaluation import Evaluation
    from geolulc.learning.pixel_evaluation import PixelEvaluation


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
            require_free([path], overwrite=overwrite, kind="report" if path is report else "")
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
        click.echo(json.dumps(pixels.as_json()) if as_json else _text(pixels))
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


def _text(evaluation: Evaluation | PixelEvaluation) -> str:
    columns, facts, absent, group_columns = _layout(evaluation)
    lines = [f"{evaluation.model['name']} on {evaluation.store}, {evaluation.split}: {facts}"]
    width = max(len(name) for name in evaluation.figures)
    lines += [f"  {name:<{width}}  {_number(v)}" for name, v in evaluation.figures.items()]
    lines.append(f"  {'class':<40}" + "".join(f"{title:>11}" for title in columns.values()))
    lines += [
        f"  {row['name'][:40]:<40}{row['support']:11,.0f}"
        + "".join(f"{_number(row[key]):>11}" for key in list(columns)[1:])
        for row in evaluation.classes
        if row["support"]
    ]
    if evaluation.missing:
        lines.append(f"  {absent}: {'; '.join(evaluation.missing)}")
    for title, groups in (("country", evaluation.countries), ("season", evaluation.seasons)):
        lines += [
            f"  {title} {name}: {group['patches']:.0f} patches, "
            + ", ".join(f"{text} {_number(group[key])}" for key, text in group_columns.items())
            for name, group in groups.items()
        ]
    return "\n".join(lines)


def _layout(
    evaluation: Evaluation | PixelEvaluation,
) -> tuple[dict[str, str], str, str, dict[str, str]]:
    """Columns by class, what was evaluated, what is said of absent classes, columns by group."""
    from geolulc.learning.pixel_evaluation import PixelEvaluation

    scores = {"precision": "precision", "recall": "recall", "f1": "F1"}
    patches = f"{evaluation.patches} patches"
    if isinstance(evaluation, PixelEvaluation):
        facts = (
            f"{patches}, {evaluation.pixels:,} pixels "
            f"({100 * evaluation.ignored:.1f} % without a class, not counted)\n"
            f"  {evaluation.caution}"
        )
        groups = {"miou": "mIoU", "agreement": "agreement"}
        columns = {"support": "pixels", "iou": "IoU", **scores}
        return columns, facts, "absent, out of the means", groups
    groups = {"ap_macro": "AP macro", "ap_micro": "micro"}
    columns = {"support": "support", "ap": "AP", **scores, "threshold": "threshold"}
    return columns, patches, "without a positive, out of macro", groups


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "  –  "
