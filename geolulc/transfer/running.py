"""One job of an experiment, from what it needs to its result."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.datasets import Store
from geolulc.learning.config import TrainConfig
from geolulc.learning.patches import SplitPatches
from geolulc.learning.scoring import score
from geolulc.learning.task import Task
from geolulc.learning.training import train
from geolulc.nets import Model, load_checkpoint, save_checkpoint
from geolulc.nets.checkpoint import CHECKPOINT_NAME
from geolulc.nets.class_frequencies import frequencies_of, prior_shift
from geolulc.nets.devices import autocast_type, choose_device
from geolulc.staging import explained
from geolulc.transfer.job_folders import Claim, JobFolder
from geolulc.transfer.plan import Job, training_positions, validation_positions
from geolulc.transfer.regions import Region
from geolulc.transfer.remedies import Remedy, correct_prior, expected_thresholds
from geolulc.transfer.scores import score_target
from geolulc.transfer.settings import TransferConfig


@dataclass(frozen=True)
class Experiment:
    """An experiment under way, as its jobs need it; it can be pickled.

    Attributes:
        store: the store.
        regions: name → region.
        config: of the experiment.
        folder: of the experiment.
        device: as of ``--device``.
    """

    store: Store
    regions: Mapping[str, Region]
    config: TransferConfig
    folder: Path
    device: str


def run_job(experiment: Experiment, job: Job, claim: Claim) -> dict[str, Any]:
    """Do ``job``, write its result and give it back.

    Raises:
        GeolulcError: what training, loading or testing has to say.
        TrainingInterrupted: a signal came; the state was saved.
    """
    folder = JobFolder(experiment.folder, job.id)
    started = time.monotonic()
    if job.kind == "test":
        result: dict[str, Any] = {"rows": _test(experiment, job, claim)}
    else:
        steps = _learn(experiment, job, folder, claim)
        result = {"training": steps, "rows": []}
        if job.kind == "adapt":
            model = load_checkpoint(folder.model)
            result["rows"] = [_row(experiment, job, model, job.remedies[0], claim)]
            if not experiment.config.keep_models:
                shutil.rmtree(folder.run)
    result |= {"job": job.as_json(), "seconds": time.monotonic() - started}
    folder.write_result(result)
    return result


def _learn(
    experiment: Experiment, job: Job, folder: JobFolder, claim: Claim
) -> list[dict[str, Any]]:
    """Train the source, or adapt it, phase after phase; what each phase took."""
    store, config = experiment.store, experiment.config
    positions = training_positions(store, experiment.regions, job)
    val = validation_positions(experiment.regions, job)
    masked = np.isin(np.array(store.nomenclature.names), job.masked)
    start: Path | None = None
    if job.needs is not None:
        start = JobFolder(experiment.folder, job.needs).model
        if Remedy.parse(job.remedies[0]).prior:
            corrected = _corrected(experiment, job, load_checkpoint(start))
            start = folder.path / "corrected.safetensors"
            save_checkpoint(start, corrected, overwrite=True)
    phases = _phases(config, job, positions)
    done = []
    for number, (settings, learned, head_only) in enumerate(phases):
        last = number == len(phases) - 1
        task = Task(
            train=learned,
            val=val,
            start=start,
            head_epochs=settings.epochs if head_only else 0,
            classes=~masked if job.masked else None,
            # of a source: runs of fine-tuning are many, and do not stay
            plots=job.kind == "train",
        )
        run = folder.run if last else folder.path / f"phase{number + 1}"
        began = time.monotonic()
        summary = train(
            store.path,
            run,
            settings,
            task=task,
            device=experiment.device,
            resume=True,
            trackers=[claim],
        )
        seen = summary["epochs"] * len(learned)
        done.append(
            {
                "patches": len(np.unique(learned)),
                "steps": summary["epochs"] * (len(learned) // settings.batch_size),
                "validation_patches": len(val),
                "epochs": summary["epochs"],
                "kept_epoch": summary["epoch"],
                "head_only": head_only,
                "patches_seen": seen,
                "seconds": time.monotonic() - began,
                "figures": summary["figures"],
            }
        )
        start = run / CHECKPOINT_NAME
    _record_regions(experiment, job, folder.model)
    return done


def _phases(
    config: TransferConfig, job: Job, positions: NDArray[np.int64]
) -> list[tuple[TrainConfig, NDArray[np.int64], bool]]:
    """Settings, positions of an epoch, and whether the head learns alone, of each training."""
    if job.kind == "train":
        plain = config.training
        # as many steps with repeated patches as without
        epochs = max(round(plain.epochs * len(np.unique(positions)) / len(positions)), 1)
        warmup = min(plain.warmup_epochs, plain.epochs / 4)
        changed = {"seed": job.seed, "epochs": epochs, "warmup_epochs": warmup}
        return [(plain.changed(changed), positions, False)]
    phases = []
    shuffled = np.random.default_rng([job.seed, 0x5EA]).permutation(positions)
    for phase in config.adapting(job.mode):
        settings, count = phase.spread(len(positions))
        # once more from the start, until there are enough
        learned = np.resize(shuffled, count)
        phases.append((settings.changed({"seed": job.seed}), learned, phase.head_only))
    return phases


#: Patches of the target's train split, at most, whose probabilities thresholds are chosen by.
_THRESHOLD_PATCHES: Final = 2000


def _corrected(experiment: Experiment, job: Job, model: Model) -> Model:
    """The source model corrected to the target's priors."""
    # what the source model saw, patches as often as it saw them
    balanced = Remedy(balanced=any(Remedy.parse(r).balanced for r in job.remedies))
    trained = replace(job, kind="train", remedies=(str(balanced),))
    store = experiment.store
    seen = store.target_bytes[training_positions(store, experiment.regions, trained)]
    own = store.target_bytes[experiment.regions[job.target]["train"]]
    shift = prior_shift(frequencies_of(seen), frequencies_of(own))
    # closed classes stay closed
    shift[np.isin(np.array(store.nomenclature.names), job.masked)] = 0.0
    return correct_prior(model, shift)


def _with_thresholds(experiment: Experiment, job: Job, model: Model, claim: Claim) -> Model:
    """A corrected model with thresholds for the target; ``claim`` is renewed on the way."""
    target = experiment.regions[job.target]["train"]
    every = -(-len(target) // _THRESHOLD_PATCHES)
    patches = SplitPatches(experiment.store, "train", target[::every])
    logits = _logits(experiment, model, patches, claim)
    return replace(model, thresholds=expected_thresholds(logits, model))


def _test(experiment: Experiment, job: Job, claim: Claim) -> list[dict[str, Any]]:
    if job.needs is None:
        raise ValueError(f"the job {job.id} has no model to test")
    rows = []
    for remedy in job.remedies:
        model = load_checkpoint(JobFolder(experiment.folder, job.needs).model)
        if Remedy.parse(remedy).prior:
            corrected = _corrected(experiment, job, model)
            model = _with_thresholds(experiment, job, corrected, claim)
        rows.append(_row(experiment, job, model, remedy, claim))
    return rows


def _row(
    experiment: Experiment, job: Job, model: Model, remedy: str, claim: Claim
) -> dict[str, Any]:
    patches = SplitPatches(experiment.store, "test", experiment.regions[job.target]["test"])
    logits = _logits(experiment, model, patches, claim)
    return {
        "source": job.source,
        "members": list(job.members),
        "target": job.target,
        "remedy": remedy,
        "masked": list(job.masked),
        "mode": job.mode,
        "target_size": job.size,
        "seed": job.seed,
        "validated_on": list(job.validation),
        "temperature": model.calibration.temperature,
        **_scored(experiment, job, remedy, patches, logits, model),
    }


def _logits(
    experiment: Experiment, model: Model, patches: SplitPatches, claim: Claim
) -> NDArray[np.float32]:
    device, training = choose_device(experiment.device), experiment.config.training
    return score(
        model.net.to(device),
        patches,
        device=device,
        dtype=autocast_type(training.precision, device),
        batch_size=min(training.batch_size, 512),
        workers=training.workers,
        progress=claim.renew,
    )


def _scored(
    experiment: Experiment,
    job: Job,
    remedy: str,
    patches: SplitPatches,
    logits: NDArray[np.float32],
    model: Model,
) -> dict[str, Any]:
    """The figures, with intervals; the calibrated logits are kept, to compare runs by."""
    kept = JobFolder(experiment.folder, job.id).logits(remedy)
    with explained(kept):
        np.save(kept, model.calibration.logits(logits).astype(np.float16))
    return score_target(patches.targets, logits, model, patches.clusters)


def _record_regions(experiment: Experiment, job: Job, path: Path) -> None:
    """Write the job into a checkpoint's provenance: which regions it was trained on."""
    model = load_checkpoint(path)
    if "transfer" in model.provenance:
        return
    fields = {k: v for k, v in job.as_json().items() if v not in ("", None, ())}
    provenance = {**model.provenance, "transfer": fields | {"store": experiment.store.path.name}}
    named = replace(model, provenance=provenance, name=job.id)
    save_checkpoint(path, named, overwrite=True)
