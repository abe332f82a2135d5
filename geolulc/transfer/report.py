"""The results of an experiment as files: report.md with pictures, CSV and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from geolulc.datasets import SPLITS, Store
from geolulc.learning.markdown import markdown_table
from geolulc.learning.plots import write_figure
from geolulc.staging import write_text
from geolulc.transfer.estimates import ESTIMATES
from geolulc.transfer.job_folders import write_json
from geolulc.transfer.plan import FINE_TUNING_VALIDATION, POOLED, SCRATCH, Plan
from geolulc.transfer.plots import plot_curves, plot_matrix
from geolulc.transfer.regions import Region
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

#: With fewer test patches in a target, figures are chance: the report calls itself a smoke test.
FEWEST_TEST_PATCHES: Final = 100
# compared between remedies
_REMEDY_FIGURES: Final = ("ap_macro", "ap_micro", "log_loss", "f1_micro_all", "false_alarms")

Rows = Sequence[Mapping[str, Any]]


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
    store, regions, config = experiment.store, experiment.regions, experiment.config
    out = experiment.folder
    pictures = _write_pictures(out, config, rows)
    training = [r for r in results if r.get("training")]
    write_runs(out / "runs.csv", rows)
    write_classes(out / "classes.csv", rows)
    write_json(
        out / "runs.json",
        {
            "store": store.path.name,
            "regions_from": regions_from,
            "settings": config.as_mapping(),
            "runs": list(rows),
            "trainings": [{k: r[k] for k in ("job", "training", "seconds")} for r in training],
            "estimates": estimates,
            "failed": dict(failed),
        },
    )
    lines = [
        *_heading(store, regions, config, regions_from),
        *_regions(store, regions, config),
        *_matrix(config, rows, pictures),
        *_by_class(config, rows),
        *_fine_tuning(config, rows, pictures),
        *_remedies(config, rows),
        *_estimates(estimates),
        *_cost(training, plan, failed),
    ]
    write_text(out / "report.md", "\n".join(lines) + "\n")
    names = ("report.md", "runs.csv", "classes.csv", "runs.json", *pictures)
    return {name: out / name for name in names}


def _write_pictures(out: Path, config: TransferConfig, rows: Rows) -> list[str]:
    written = []
    for figure in ("ap_macro", "ap_micro"):
        measured = measure(rows, figure)
        for remedy in config.remedies:
            drawn = plot_matrix(measured, config.sources, config.targets, figure, remedy)
            if drawn is not None:
                written.append(f"matrix_{figure}_{remedy}.png")
                write_figure(drawn, out / written[-1])
    measured = measure(rows, "ap_macro")
    for number, target in enumerate(config.targets, start=1):
        drawn = plot_curves(measured, target, config.sources, "ap_macro")
        if drawn is not None:
            # a number: names of regions need not be names of files
            written.append(f"curves_{number:02d}.png")
            write_figure(drawn, out / written[-1])
    return written


def _heading(
    store: Store, regions: Mapping[str, Region], config: TransferConfig, regions_from: str
) -> list[str]:
    lines = [f"# Transfer between regions: {store.path.name}", ""]
    tests = {t: len(regions[t]["test"]) for t in config.targets}
    small = [f"{t} ({n})" for t, n in tests.items() if n < FEWEST_TEST_PATCHES]
    if small:
        lines += [
            f"> **Smoke test.** Fewer than {FEWEST_TEST_PATCHES} test patches in "
            f"{', '.join(small)}: these figures show that the experiment runs. They say nothing "
            "about the regions.",
            "",
        ]
    where = (
        "the source, as the paper's code does" if config.validate_on == "source" else "the target"
    )
    kept = (
        "; fine-tuning keeps its last epoch, and only calibrates on the source"
        if config.validate_on == "source" and any(config.target_sizes)
        else ""
    )
    pooled = {
        "without-target": "all sources but the target itself",
        "all": "all sources, the target's own patches among them where it is one",
        "none": "not trained",
    }[config.pooled]
    lines += [
        f"- Regions by {regions_from}; {config.training.fusion} fusion, "
        f"{config.training.backbone}, {config.training.epochs} epochs, seeds "
        f"{', '.join(map(str, config.seeds))}.",
        f"- Validation (best epoch, temperature, thresholds) is drawn from {where}{kept}. "
        f"Fine-tuning is validated on {FINE_TUNING_VALIDATION} of its patches at most.",
        f"- *{POOLED}* is {pooled}. *{SCRATCH}* is fresh weights on the target's patches alone, "
        "validated on the target.",
        "- Every figure of a target is over the classes that its test split has; the others are "
        "in no mean (they are listed). Figures of different targets are over different classes: "
        "no mean over targets is formed.",
        "- Band statistics (mean, deviation) are those of the store's train split in every run; "
        "no label enters them.",
        "- Remedies *mask* and *prior* use the labels of the target's train split: which classes "
        "it has, and how often.",
        "",
    ]
    return lines


def _regions(store: Store, regions: Mapping[str, Region], config: TransferConfig) -> list[str]:
    names = list(dict.fromkeys([*config.sources, *config.targets]))
    roles = {
        name: " and ".join(
            role
            for role, among in (("source", config.sources), ("target", config.targets))
            if name in among
        )
        for name in names
    }
    lines = ["## Regions", ""]
    lines += markdown_table(
        ["region", "role", *SPLITS],
        [[n, roles[n], *(len(regions[n][s]) for s in SPLITS)] for n in names],
    )
    counts = {
        (n, s): store.target_bytes[regions[n][s]].sum(axis=0, dtype=int)
        for n in names
        for s in ("train", "test")
    }
    lines += ["Patches by class, train / test:", ""]
    table = []
    for c, name in enumerate(store.nomenclature.names):
        own = [(int(counts[n, "train"][c]), int(counts[n, "test"][c])) for n in names]
        if any(sum(pair) for pair in own):
            table.append([name, *(f"{a} / {b}" for a, b in own)])
    lines += markdown_table(["class", *names], table)
    nowhere = [
        name
        for c, name in enumerate(store.nomenclature.names)
        if not any(int(v[c]) for v in counts.values())
    ]
    if nowhere:
        lines += [f"In no region: {'; '.join(nowhere)}.", ""]
    return lines


def _matrix(config: TransferConfig, rows: Rows, pictures: Sequence[str]) -> list[str]:
    if 0 not in config.target_sizes:
        return []
    lines = ["## Trained in (rows), tested in (columns), zero-shot", ""]
    for figure in ("ap_macro", "ap_micro", "f1_micro_all"):
        measured = measure(rows, figure)
        table = []
        for source in source_order(config.sources):
            cells = [
                measured.get(Cell(source, t, config.remedies[0], "zero-shot", 0))
                for t in config.targets
            ]
            if any(cells):
                table.append([source, *cells])
        lines += [f"{FIGURES[figure]}, remedy {config.remedies[0]}:", ""]
        lines += markdown_table(["", *config.targets], table)
    lines += [f"![{name}]({name})" for name in pictures if name.startswith("matrix")]
    without = {r["target"]: r["without"] for r in rows}
    lines += ["", "Classes that a target's test split does not have, out of its figures:", ""]
    for target in config.targets:
        named = "; ".join(without.get(target, [])) or "none"
        lines.append(f"- {target}: {named}")
    return [*lines, ""]


def _by_class(config: TransferConfig, rows: Rows) -> list[str]:
    lines = ["## Average precision by class, zero-shot", ""]
    first = [
        r
        for r in rows
        if r["mode"] == "zero-shot"
        and r["remedy"] == config.remedies[0]
        and r["seed"] == config.seeds[0]
    ]
    if not first:
        return []
    for target in config.targets:
        own = {r["source"]: r for r in first if r["target"] == target}
        sources = [s for s in source_order(config.sources) if s in own]
        if not sources:
            continue
        ap = {s: {c["name"]: c["ap"] for c in own[s]["classes"]} for s in sources}
        lines += [f"Tested in {target} (seed {config.seeds[0]}):", ""]
        lines += markdown_table(
            ["class", "patches", *sources],
            [
                [c["name"], c["support"], *(ap[s][c["name"]] for s in sources)]
                for c in own[sources[0]]["classes"]
            ],
        )
    return lines


def _fine_tuning(config: TransferConfig, rows: Rows, pictures: Sequence[str]) -> list[str]:
    measured = measure(rows, "ap_macro")
    sizes = sorted({c.size for c in measured if c.size})
    if not sizes:
        return []
    remedy = config.remedies[0]
    lines = ["## Fine-tuned with target patches", ""]
    lines += [
        f"AP macro, remedy {remedy}. Subsets of a seed are nested. *{SCRATCH}*: the same patches "
        "without a source; a source below it transfers negatively.",
        "",
    ]
    negative = []
    for target in config.targets:
        table = []
        for source in source_order(config.sources):
            for mode in (*config.fine_tuning, SCRATCH):
                used = "none" if mode == SCRATCH else remedy
                found = [measured.get(Cell(source, target, used, mode, s)) for s in sizes]
                if not any(found):
                    continue
                start = measured.get(Cell(source, target, used, "zero-shot", 0))
                table.append([source, mode, start, *found])
                for size, value in zip(sizes, found, strict=True):
                    fresh = measured.get(Cell(SCRATCH, target, "none", SCRATCH, size))
                    if value is not None and fresh is not None and value.mean < fresh.mean:
                        negative.append(
                            f"- {source} → {target}, {mode}, {size} patches: {value} against "
                            f"{fresh} from scratch"
                        )
        if table:
            header = ["source", "fine-tuning", "0", *map(str, sizes)]
            lines += [f"Target {target}:", "", *markdown_table(header, table)]
    lines += [f"![{name}]({name})" for name in pictures if name.startswith("curves")]
    lines += ["", "Negative transfer (below the same patches from scratch):", ""]
    return [*lines, *(negative or ["- none"]), ""]


def _remedies(config: TransferConfig, rows: Rows) -> list[str]:
    if len(config.remedies) < 2:
        return []
    lines = ["## Remedies", ""]
    lines += [
        "Change against no remedy (+ is better), zero-shot; masked: the source-only classes.",
        "",
    ]
    measured = {figure: measure(rows, figure) for figure in _REMEDY_FIGURES}
    masked = {(r["source"], r["target"], r["remedy"]): r["masked"] for r in rows}
    table = []
    for target in config.targets:
        for source in source_order(config.sources):
            for remedy in config.remedies:
                cell = Cell(source, target, remedy, "zero-shot", 0)
                plain = cell._replace(remedy="none")
                if remedy == "none" or cell not in measured["ap_macro"]:
                    continue
                gains: list[str | None] = []
                for figure in _REMEDY_FIGURES:
                    with_it = measured[figure].get(cell)
                    without = measured[figure].get(plain)
                    if with_it is None or without is None:
                        gains.append(None)
                        continue
                    sign = -1 if figure in LOWER_IS_BETTER else 1
                    gains.append(f"{sign * (with_it.mean - without.mean):+.3f}")
                hidden = "; ".join(masked[source, target, remedy]) or "–"
                table.append([source, target, remedy, *gains, hidden])
    header = ["source", "target", "remedy", *(FIGURES[f] for f in _REMEDY_FIGURES), "masked"]
    lines += markdown_table(header, table)
    lines += [
        "The prior correction shifts whole classes: it cannot change the ranking of patches "
        "within a class, so AP macro stays as it is.",
        "",
    ]
    return lines


def _estimates(estimates: Mapping[str, Any]) -> list[str]:
    names = [n for n in ESTIMATES if n in estimates["pairs"][0]]
    lines = ["## Estimates without training", ""]
    lines += [f"- `{name}`: {ESTIMATES[name]}" for name in names]
    lines += ["", "Of the train splits; 0 for regions that are alike.", ""]
    lines += markdown_table(
        ["source", "target", *names, "AP macro", "loss against target's own model"],
        [
            [p["source"], p["target"], *(p[n] for n in names), p["ap_macro"], p["drop"]]
            for p in estimates["pairs"]
        ],
    )
    lines += [
        "How well they rank the measured transfer (Spearman's ρ; 95 % interval from a bootstrap "
        "over sources and targets; a region with itself and pooled sources left out). An estimate "
        "is useful where its ρ has the expected sign and the interval leaves out 0.",
        "",
    ]
    lines += markdown_table(
        ["estimate", "against", "expected", "ρ", "95 % interval", "pairs"],
        [
            [
                c["estimate"],
                c["against"],
                c["expected_sign"],
                None if c["rho"] is None else f"{c['rho']:+.2f}",
                None if c["low"] is None else f"{c['low']:+.2f} … {c['high']:+.2f}",
                c["pairs"],
            ]
            for c in estimates["correlations"]
            if c["rho"] is not None
        ],
    )
    if any(c["rho"] is None for c in estimates["correlations"]):
        lines += ["Not in the table: what has fewer than four pairs, or values all alike.", ""]
    return lines


def _cost(training: Rows, plan: Plan, failed: Mapping[str, str]) -> list[str]:
    phases = [p for r in training for p in r["training"]]
    seen, seconds = sum(p["patches_seen"] for p in phases), sum(p["seconds"] for p in phases)
    lines = ["## Cost", ""]
    rate = f", {seen / seconds:.0f} patches/s in training and validation" if seconds else ""
    lines += [
        f"{len(plan.jobs)} jobs, {len(training)} of them trainings: {seen:,} patches seen in "
        f"{seconds / 3600:.2f} hours of one process{rate}.",
        "",
    ]
    for target, size, there in plan.too_large:
        lines.append(f"- Left out: {size} patches of {target}, which has {there} to train on.")
    for job, reason in failed.items():
        lines.append(f"- Failed: {job}: {reason}")
    return lines
