"""How much an experiment computes, before it is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geolulc.datasets import Store
from geolulc.transfer.plan import Plan, validation_positions
from geolulc.transfer.regions import Region
from geolulc.transfer.settings import TransferConfig


def count_work(
    store: Store, regions: Mapping[str, Region], config: TransferConfig, plan: Plan
) -> dict[str, Any]:
    """Patches that are learned from and scored (validated on, tested), over all epochs.

    Divided by measured rates they are hours. Early stopping (``patience``) takes less, and
    repeated patches do not count: their epochs are fewer.

    Returns:
        ``kinds``: kind of job → jobs, patches_trained, patches_scored; and both over all kinds.
    """
    kinds: dict[str, dict[str, int]] = {}
    for job in plan.jobs:
        found = kinds.setdefault(job.kind, {"jobs": 0, "patches_trained": 0, "patches_scored": 0})
        found["jobs"] += 1
        if job.kind == "test":
            found["patches_scored"] += len(regions[job.target]["test"]) * len(job.remedies)
            continue
        held_out = len(validation_positions(regions, job))
        if job.kind == "train":
            epochs = config.training.epochs
            patches = sum(len(regions[name]["train"]) for name in job.members)
            found["patches_trained"] += patches * epochs
        else:
            phases = [phase.spread(job.size) for phase in config.adapting(job.mode)]
            epochs = sum(settings.epochs for settings, _ in phases)
            found["patches_scored"] += len(regions[job.target]["test"])
            found["patches_trained"] += sum(s.epochs * patches for s, patches in phases)
        found["patches_scored"] += held_out * epochs
    totals = {
        name: sum(found[name] for found in kinds.values())
        for name in ("patches_trained", "patches_scored")
    }
    return {"store": store.path.name, "kinds": kinds, **totals}
