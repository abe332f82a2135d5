"""The results of an experiment as files: report.md with pictures, CSV and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jinja2

from geolulc.datasets import SPLITS
from geolulc.learning.markdown import markdown_table
from geolulc.learning.plots import write_figure
from geolulc.learning.task_figures import FEWEST_PATCHES
from geolulc.safe_texts import for_markdown
from geolulc.staging import write_text
from geolulc.transfer.estimates import ESTIMATES
from geolulc.transfer.job_folders import write_json
from geolulc.transfer.negative import BelowScratch, find_below_scratch
from geolulc.transfer.plan import FINE_TUNING_VALIDATION, POOLED, SCRATCH, Plan
from geolulc.transfer.plots import plot_curves, plot_matrix
from geolulc.transfer.running import Experiment
from geolulc.transfer.settings import TransferConfig
from geolulc.transfer.tables import (
    FIGURES,
    LOWER_IS_BETTER,
    Cell,
    measure,
    source_order,
    write_classes,
    write_runs,
)

# compared between remedies
_REMEDY_FIGURES: Final = ("ap_macro", "ap_micro", "log_loss", "f1_micro_all", "false_alarms")


class _Markdown(str):
    """Lines that are Markdown already."""


Rows = Sequence[Mapping[str, Any]]
#: Cells of a Markdown table, row by row.
Table = list[list[Any]]


def write_results(
    experiment: Experiment,
    plan: Plan,
    results: Rows,
    rows: Rows,
    estimates: Mapping[str, Any],
    failed: Mapping[str, str],
    regions_from: str,
) -> dict[str, Path]:
    """Write runs.csv, classes.csv, runs.json, pictures and report.md into the experiment's folder.

    Returns:
        Name → path.
    """
    out, config = experiment.folder, experiment.config
    pictures = _write_pictures(out, config, rows)
    training = [r for r in results if r.get("training")]
    write_runs(out / "runs.csv", rows)
    write_classes(out / "classes.csv", rows)
    write_json(
        out / "runs.json",
        {
            "store": experiment.store.path.name,
            "regions_from": regions_from,
            "settings": config.as_mapping(),
            "runs": list(rows),
            "trainings": [{k: r[k] for k in ("job", "training", "seconds")} for r in training],
            "estimates": estimates,
            "failed": dict(failed),
        },
    )
    environment = jinja2.Environment(  # noqa: S701 - Markdown, not HTML
        loader=jinja2.PackageLoader("geolulc", "transfer"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if isinstance(value, _Markdown) else for_markdown(value),
    )
    text = environment.get_template("report.md").render(
        table=lambda header, lines: _Markdown("\n".join(markdown_table(header, lines)).rstrip()),
        config=config,
        remedy=config.remedies[0],
        regions_from=regions_from,
        pictures=pictures,
        figures=FIGURES,
        pooled=POOLED,
        scratch=SCRATCH,
        fine_tuning_validation=FINE_TUNING_VALIDATION,
        matrices=_matrices(config, rows) if 0 in config.target_sizes else {},
        without=dict.fromkeys(config.targets, ()) | {r["target"]: r["without"] for r in rows},
        by_class=_by_class(config, rows),
        remedy_figures=[FIGURES[name] for name in _REMEDY_FIGURES],
        remedies=_remedies(config, rows),
        jobs=len(plan.jobs),
        too_large=plan.too_large,
        failed=failed,
        **_regions(experiment),
        **_fine_tuning(config, rows),
        **_negative(find_below_scratch(experiment, rows), config.remedies[0]),
        **_estimates(estimates),
        **_cost(training),
    )
    write_text(out / "report.md", text)
    names = ("report.md", "runs.csv", "classes.csv", "runs.json", *pictures)
    return {name: out / name for name in names}


def _write_pictures(out: Path, config: TransferConfig, rows: Rows) -> list[str]:
    pictures = {}
    for figure in ("ap_macro", "ap_micro"):
        measured = measure(rows, figure)
        for remedy in config.remedies:
            pictures[f"matrix_{figure}_{remedy}.png"] = plot_matrix(
                measured, config.sources, config.targets, figure, remedy
            )
    measured = measure(rows, "ap_macro")
    for number, target in enumerate(config.targets, start=1):
        # a number: names of regions need not be names of files
        pictures[f"curves_{number:02d}.png"] = plot_curves(
            measured, target, config.sources, "ap_macro"
        )
    drawn = {name: picture for name, picture in pictures.items() if picture is not None}
    for name, picture in drawn.items():
        write_figure(picture, out / name)
    return list(drawn)


def _regions(experiment: Experiment) -> dict[str, Any]:
    """Sizes of the splits, and how often each class is in them."""
    store, regions, config = experiment.store, experiment.regions, experiment.config
    names = list(dict.fromkeys([*config.sources, *config.targets]))
    among = {"source": config.sources, "target": config.targets}
    roles = [" and ".join(role for role, own in among.items() if n in own) for n in names]
    tests = {t: len(regions[t]["test"]) for t in config.targets}
    train, test = (
        [store.target_bytes[regions[n][s]].sum(axis=0, dtype=int).tolist() for n in names]
        for s in ("train", "test")
    )
    pairs = {
        name: [(a[c], b[c]) for a, b in zip(train, test, strict=True)]
        for c, name in enumerate(store.nomenclature.names)
    }
    there = {name: own for name, own in pairs.items() if any(map(any, own))}
    return {
        "store": store.path.name,
        "splits": list(SPLITS),
        "names": names,
        "fewest_test_patches": FEWEST_PATCHES,
        "small": [f"{t} ({n})" for t, n in tests.items() if n < FEWEST_PATCHES],
        "regions": [
            [n, role, *(len(regions[n][s]) for s in SPLITS)]
            for n, role in zip(names, roles, strict=True)
        ],
        "class_counts": [[name, *(f"{a} / {b}" for a, b in own)] for name, own in there.items()],
        "nowhere": [name for name in pairs if name not in there],
    }


def _matrices(config: TransferConfig, rows: Rows) -> dict[str, Table]:
    """Figure → sources (rows) by targets (columns), zero-shot, with the first remedy."""
    tables = {}
    for figure in ("ap_macro", "ap_micro", "f1_micro_all"):
        measured = measure(rows, figure)
        lines = [
            [s, *(measured.get(Cell(s, t, config.remedies[0])) for t in config.targets)]
            for s in source_order(config.sources)
        ]
        tables[figure] = [line for line in lines if any(line[1:])]
    return tables


def _by_class(config: TransferConfig, rows: Rows) -> dict[str, tuple[list[str], Table]]:
    """Target → header and rows of the average precision of each class by source."""
    tables = {}
    for target in config.targets:
        own = {
            r["source"]: {c["name"]: c for c in r["classes"]}
            for r in rows
            if (r["mode"], r["target"]) == ("zero-shot", target)
            and (r["remedy"], r["seed"]) == (config.remedies[0], config.seeds[0])
        }
        sources = [s for s in source_order(config.sources) if s in own]
        if sources:
            tables[target] = (
                ["class", "patches", *sources],
                [
                    [name, found["support"], *(own[s][name]["ap"] for s in sources)]
                    for name, found in own[sources[0]].items()
                ],
            )
    return tables


def _fine_tuning(config: TransferConfig, rows: Rows) -> dict[str, Any]:
    """Target → sources and ways of fine-tuning by number of patches."""
    measured = measure(rows, "ap_macro")
    sizes = sorted({c.size for c in measured if c.size})
    tables: dict[str, Table] = {target: [] for target in config.targets}
    for target, table in tables.items():
        for source in source_order(config.sources):
            for mode in (*config.fine_tuning, SCRATCH):
                used = "none" if mode == SCRATCH else config.remedies[0]
                found = [measured.get(Cell(source, target, used, mode, s)) for s in sizes]
                if not any(found):
                    continue
                table.append([source, mode, measured.get(Cell(source, target, used)), *found])
    return {"sizes": sizes, "fine_tuned": tables}


def _negative(below: Sequence[BelowScratch], remedy: str) -> dict[str, Any]:
    """Sources that are worse than none, and how many others are below it by no more than chance."""
    own = [each for each in below if each.cell.remedy == remedy]
    return {
        "negative": [
            f"{cell.source} → {cell.target}, {cell.mode}, {cell.size} patches: {d.first:.3f} "
            f"against {d.second:.3f} from scratch, {d.first - d.second:+.3f} "
            f"({d.low:+.3f} … {d.high:+.3f})"
            for cell, d in ((each.cell, each.apart) for each in own)
            if d.is_real
        ],
        "undecided": sum(not each.apart.is_real for each in own),
    }


def _remedies(config: TransferConfig, rows: Rows) -> Table:
    """What each remedy changes, for each target and source."""
    measured = {figure: measure(rows, figure) for figure in _REMEDY_FIGURES}
    masked = {(r["source"], r["target"], r["remedy"]): r["masked"] for r in rows}

    def gain(figure: str, cell: Cell) -> str | None:
        with_it, without = (measured[figure].get(c) for c in (cell, cell._replace(remedy="none")))
        if with_it is None or without is None:
            return None
        sign = -1 if figure in LOWER_IS_BETTER else 1
        return f"{sign * (with_it.mean - without.mean):+.3f}"

    return [
        [*cell[:3], *(gain(f, cell) for f in _REMEDY_FIGURES), "; ".join(masked[cell[:3]]) or "–"]
        for target in config.targets
        for source in source_order(config.sources)
        for remedy in config.remedies
        if (cell := Cell(source, target, remedy)) in measured["ap_macro"] and remedy != "none"
    ]


def _estimates(estimates: Mapping[str, Any]) -> dict[str, Any]:
    """Estimates of every pair, and their rank correlations."""
    names = [n for n in ESTIMATES if n in estimates["pairs"][0]]
    columns = ("source", "target", *names, "ap_macro", "drop")
    known = [c for c in estimates["correlations"] if c["rho"] is not None]
    return {
        "estimates": {name: ESTIMATES[name] for name in names},
        "pairs": [[pair[column] for column in columns] for pair in estimates["pairs"]],
        "correlations": [
            [
                *(c[column] for column in ("estimate", "against", "expected_sign")),
                f"{c['rho']:+.2f}",
                None if c["low"] is None else f"{c['low']:+.2f} … {c['high']:+.2f}",
                c["pairs"],
            ]
            for c in known
        ],
        "estimate_patches": estimates["feature_patches"],
        "all_correlate": len(known) == len(estimates["correlations"]),
    }


def _cost(training: Rows) -> dict[str, Any]:
    phases = [phase for result in training for phase in result["training"]]
    return {
        "trainings": len(training),
        "seen": sum(phase["patches_seen"] for phase in phases),
        "seconds": sum(phase["seconds"] for phase in phases),
    }
