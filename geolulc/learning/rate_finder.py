"""The learning-rate range test (Smith 2017): the loss while the rate grows step by step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from geolulc.datasets import open_store
from geolulc.datasets.loader import Batch, PatchLoader
from geolulc.errors import TrainingError
from geolulc.learning.augmentation import augment, draw
from geolulc.learning.config import TrainConfig
from geolulc.learning.light import in_light
from geolulc.learning.networks import make_net, memory_format
from geolulc.learning.objective import make_objective
from geolulc.learning.optimisation import make_optimizer
from geolulc.learning.plan import make_plan
from geolulc.learning.plots import plot_rates, write_figure
from geolulc.learning.run_folder import RunFolder, begin_run
from geolulc.learning.task import Task
from geolulc.nets.devices import autocast, autocast_type, choose_device
from geolulc.progress import Progress
from geolulc.staging import write_text

#: From the lowest to the highest rate.
RATES: Final = (1e-6, 1.0)
# The loss of single batches is noisy: an exponential mean, as in the range test's usual form.
_SMOOTHING: Final = 0.9
# Beyond this many times the lowest loss the run has diverged.
_DIVERGED: Final = 4.0


@dataclass(frozen=True)
class RateCurve:
    """The curve of a range test.

    Attributes:
        rates: float64 (n,), growing geometrically.
        losses: float64 (n,), smoothed.
        suggestion: the rate where the loss falls fastest.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    suggestion: float


def find_rate(
    store: Path,
    config: TrainConfig,
    *,
    steps: int = 100,
    device: str = "auto",
    progress: Progress | None = None,
) -> RateCurve:
    """Train for ``steps`` with a rate that grows from 1e-6 to 1, or until the loss diverges.

    Raises:
        DatasetError: a store that cannot be trained on.
        TrainingError: the loss is not finite before it ever fell.
    """
    place = choose_device(device)
    patches, _ = Task().patches(open_store(store), config, place)
    plan = make_plan(len(patches), config, 1)
    dtype, layout = autocast_type(config.precision, place), memory_format(place)
    net = make_net(patches, config, place)
    optimizer = make_optimizer(net, config)
    scaler = torch.amp.GradScaler(place.type, enabled=dtype is torch.float16)
    objective = make_objective(config, patches, patches, place)
    loader = patches.loader(
        plan.size,
        device=place,
        shuffle=True,
        seed=config.seed,
        workers=config.workers,
        bands=net.bands,
    )
    draws = draw(config, 0, len(patches), len(net.band_names), net.layout)
    light = patches.light(config, 0)
    losses: list[float] = []
    mean = 0.0
    rates = np.geomspace(*RATES, steps)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(config.seed)
        for step, batch in enumerate(itertools.islice(_endless(loader), steps)):
            for group in optimizer.param_groups:
                group["lr"] = float(rates[step]) * group["share"]
            groups = batch.groups_on(place)
            truth = patches.lessons(batch, 0).to(place, non_blocking=True)
            inputs, here = net.preprocess(*groups), patches.places(batch)
            if light is not None:
                inputs = in_light(net, inputs, light.of(here))
            inputs, truth = augment(inputs, truth, draws.of(here))
            with autocast(dtype, place):
                logits = net.classify(*(x.contiguous(memory_format=layout) for x in inputs))
            loss = objective.loss(logits, truth).mean()
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(scaler.scale(loss))
            scaler.step(optimizer)
            scaler.update()
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * float(loss.detach())
            smoothed = mean / (1 - _SMOOTHING ** (step + 1))
            if not np.isfinite(smoothed) or (losses and smoothed > _DIVERGED * min(losses)):
                break
            losses.append(smoothed)
            if progress is not None:
                progress(step + 1, steps)
    if len(losses) < 3:
        raise TrainingError(
            store,
            found=f"a loss of NaN or infinity at a rate of {rates[len(losses)]:.1e}",
            expected="a loss that falls at small rates",
            remedy="Look at the store's statistics (geolulc info) and at the network.",
        )
    found = np.array(losses)
    return RateCurve(rates[: len(found)], found, _steepest(rates[: len(found)], found))


def write_curve(
    curve: RateCurve, config: TrainConfig, folder: Path, *, overwrite: int = 0
) -> tuple[Path, Path]:
    """Write rates.csv and rates.png into ``folder`` (made with its config.toml)."""
    begin_run(RunFolder(folder), config, resume=False, overwrite=overwrite)
    table, picture = folder / "rates.csv", folder / "rates.png"
    rows = [f"{r:.6e},{v:.6f}" for r, v in zip(curve.rates, curve.losses, strict=True)]
    write_text(table, "\n".join(["learning_rate,loss", *rows, ""]))
    write_figure(plot_rates(curve.rates, curve.losses, curve.suggestion), picture)
    return table, picture


def _steepest(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    lowest = int(np.argmin(losses))
    if lowest == 0:
        return float(rates[0])
    slope = np.gradient(losses, np.log(rates))
    return float(rates[int(np.argmin(slope[: lowest + 1]))])


def _endless(loader: PatchLoader) -> Iterator[Batch]:
    for epoch in itertools.count():
        loader.set_epoch(epoch)
        yield from loader
