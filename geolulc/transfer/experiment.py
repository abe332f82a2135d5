"""A transfer experiment from its settings to its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geolulc
from geolulc.datasets import Store
from geolulc.ownership import reading
from geolulc.progress import Progress
from geolulc.transfer.estimates import estimate_transfer
from geolulc.transfer.job_folders import JobFolder, begin_experiment
from geolulc.transfer.plan import Plan, make_plan, store_identity
from geolulc.transfer.regions import Region
from geolulc.transfer.report import write_results
from geolulc.transfer.running import Experiment
from geolulc.transfer.settings import TransferConfig
from geolulc.transfer.subsets import write_subsets
from geolulc.transfer.workers import work_together


@dataclass(frozen=True)
class Outcome:
    """The results of an experiment.

    Attributes:
        plan: its jobs.
        rows: one mapping a test: source, target, remedy, mode, target_size, seed, figures, …
        failed: id of a job that failed → why.
        files: name → path of what was written.
    """

    plan: Plan
    rows: tuple[dict[str, Any], ...]
    failed: Mapping[str, str]
    files: Mapping[str, Path]


def run_transfer(
    store: Store,
    regions: Mapping[str, Region],
    config: TransferConfig,
    out: Path,
    *,
    regions_from: str = "country",
    encoder: Path | None = None,
    device: str = "auto",
    processes: int = 1,
    scheduler: str | None = None,
    overwrite: int = 0,
    progress: Progress | None = None,
) -> Outcome:
    """Train in each source, test in each target, adapt, estimate, and report.

    Jobs that are done in ``out`` are not done again; several calls with the same ``out``, on one
    machine or on several, share them.

    Args:
        store: the store.
        regions: of ``find_regions``.
        config: of the experiment.
        out: folder for everything; an experiment on the same store there is gone on with.
        regions_from: the column or file that names the regions, for the report.
        encoder: a checkpoint whose features regions are compared in.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        processes: that work on jobs; with several GPUs each takes one.
        scheduler: of a Dask cluster whose workers do the jobs instead.
        overwrite: begin anew.
        progress: called with the jobs done and all of them.

    Returns:
        Every result. Jobs that failed are in ``failed``; the report is on the others.

    Raises:
        ParameterError: a region or setting that cannot be used.
        DatasetError: a region without the patches it needs.
        OutputError: ``out`` is something else, or cannot be written.
        TrainingInterrupted: a signal came; call again to go on.
    """
    plan = make_plan(store, regions, config)
    manifest = {
        "made_by": f"geolulc {geolulc.__version__}",
        "store": {
            "path": store.path.name,
            "patches": len(store),
            "identity": store_identity(store),
        },
        "regions_from": regions_from,
        "settings": config.as_mapping(),
        "jobs": [job.as_json() for job in plan.jobs],
    }
    with reading([store.path]):
        begin_experiment(out, manifest, overwrite=overwrite)
    for seed in config.seeds:
        for target in config.targets:
            write_subsets(out / "subsets", store, regions[target], config.target_sizes, seed)
    experiment = Experiment(store, dict(regions), config, out, device)
    if scheduler is None:
        failed = work_together(experiment, plan.jobs, processes, progress=progress)
    else:
        from geolulc.transfer.on_cluster import work_on_cluster  # loads Dask

        failed = work_on_cluster(experiment, plan.jobs, scheduler, progress=progress)
    results = [r for job in plan.jobs if (r := JobFolder(out, job.id).result()) is not None]
    rows = [row | {"job": r["job"]["id"]} for r in results for row in r["rows"]]
    estimates = estimate_transfer(store, regions, config, rows, encoder=encoder, device=device)
    files = write_results(experiment, plan, results, rows, estimates, failed, regions_from)
    return Outcome(plan, tuple(rows), failed, files)
