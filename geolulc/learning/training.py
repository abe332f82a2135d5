"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from geolulc.datasets import Store, open_store
from geolulc.learning.augmentation import augment, draw
from geolulc.learning.config import TrainConfig
from geolulc.learning.environment import describe_environment
from geolulc.learning.interruption import TrainingInterrupted, noticed_signals
from geolulc.learning.light import in_light
from geolulc.learning.loss_meter import LossMeter
from geolulc.learning.networks import memory_format, parallel, sharing_gradients
from geolulc.learning.objective import kept_model, make_objective, require_validation
from geolulc.learning.optimisation import learning_rate, make_optimizer, update_average
from geolulc.learning.plan import make_plan, step_seed
from geolulc.learning.plots import write_run_plots
from geolulc.learning.processes import (
    Processes,
    join_processes,
    leave_processes,
    share_batch_statistics,
)
from geolulc.learning.run_folder import (
    RunFolder,
    RunState,
    begin_run,
    load_state,
    require_free_run,
    save_state,
)
from geolulc.learning.task import Task
from geolulc.learning.task_figures import TASK_FIGURES
from geolulc.learning.trackers import Tracker
from geolulc.nets import save_checkpoint
from geolulc.nets.config import FOREST
from geolulc.nets.devices import autocast, autocast_type, choose_device
from geolulc.ownership import reading
from geolulc.staging import claimed

# A long epoch is saved in between, so that a killed run loses no more than this.
_SECONDS_BETWEEN_SAVES: Final = 600.0


def train(
    store: Path,
    run_folder: Path,
    config: TrainConfig,
    *,
    task: Task | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: int = 0,
    trackers: Sequence[Tracker] = (),
) -> dict[str, Any]:
    """Train a network on the train split of ``store``; keep the best epoch on its val split.

    The backbone "forest" grows a random forest, at once and on the CPU.

    Under torchrun each process takes its share of every batch; process 0 writes. The same seed
    gives the same weights, bit for bit on the CPU, also where the run was stopped and resumed.

    Args:
        store: a store with train and val splits.
        run_folder: where model.safetensors, config.toml and history.csv go.
        config: the settings.
        task: patches other than the splits, weights to start from, classes to learn.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        resume: go on with the run in ``run_folder`` where there is one.
        overwrite: replace the run in ``run_folder``, once the store, the network and the weights
            to start from are found to serve.
        trackers: called at every step and epoch, in the process that writes.

    Returns:
        The summary of the run: best epoch and its validation figures, JSON-able.

    Raises:
        OutputError: the run folder exists or cannot be written.
        DatasetError: a store is damaged, or a split that is needed is empty.
        ParameterError: a setting that the network or the device cannot serve.
        TrainingError: the loss is not finite.
        TrainingInterrupted: Ctrl-C or SIGTERM came; the state was saved.
    """
    processes, place = join_processes(choose_device(device))
    try:
        run = RunFolder(run_folder)
        devices = [place] if place.type == "cuda" else []
        leading = trackers if processes.leads else ()
        with ExitStack() as ended:
            if processes.leads:
                ended.enter_context(reading([store]))
                read = config.pretrained, config.teacher, config.teacher_store
                ended.enter_context(reading([path for path in read if path]))
                ended.enter_context(claimed(run.path))
                require_free_run(run, config, resume=resume, overwrite=overwrite)
            opened = open_store(store)
            ended.enter_context(torch.random.fork_rng(devices=devices))
            for tracker in leading:
                ended.callback(tracker.close)

            def begin() -> None:
                begin_run(run, config, resume=resume, overwrite=overwrite)

            if config.backbone == FOREST:
                # scikit-learn takes a second to load
                from geolulc.learning.forest import train_forest

                return train_forest(opened, run, config, task or Task(), processes, begin)
            return _train(opened, run, config, task or Task(), place, processes, leading, begin)
    finally:
        leave_processes()


def _train(
    store: Store,
    run: RunFolder,
    config: TrainConfig,
    task: Task,
    device: torch.device,
    processes: Processes,
    trackers: Sequence[Tracker],
    begin: Callable[[], None],
) -> dict[str, Any]:
    def teaching(done: int, count: int) -> None:
        for tracker in trackers:
            tracker.taught(done, count)

    patches, held_out = task.patches(store, config, device, teaching)
    names = TASK_FIGURES[config.task]
    plan = make_plan(len(patches), config, processes.count)
    require_validation(held_out, config)
    task.require_processes(plan)
    dtype, layout = autocast_type(config.precision, device), memory_format(device)
    # the same seed: two networks of equal weights, one to learn, one to follow
    net, average = (task.net(patches, config, device) for _ in range(2))
    share_batch_statistics(net, processes, device)
    model = parallel(net, processes, device)
    loader = patches.loader(
        plan.size,
        device=device,
        shuffle=True,
        seed=config.seed,
        workers=config.workers,
        processes=processes,
        bands=net.bands,
    )
    objective = make_objective(config, patches, held_out, device, task.classes)
    optimizer = make_optimizer(net, config)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)

    def save() -> None:
        if processes.leads:
            save_state(run, at, {"net": net, "average": average}, optimizer, scaler)

    if processes.leads:
        begin()
    processes.wait()
    if (finished := run.summary()) is not None:
        return finished
    ground, environment = task.ground(patches), describe_environment(device)
    data = {"train": patches.identity(), "val": held_out.identity(), **task.identity()}
    at = RunState(data=data)
    if run.state.is_file():
        at = load_state(run, at.data, {"net": net, "average": average}, optimizer, scaler)
    total, saved = plan.total, time.monotonic()

    with noticed_signals() as signal_number:
        while at.step < total and not at.out_of_patience(config.patience):
            epoch, first = divmod(at.step, plan.steps)
            started = time.monotonic()
            draws = draw(config, epoch, len(patches), len(net.band_names), net.layout)
            light = patches.light(config, epoch)
            loader.set_epoch(epoch)
            batches = islice(loader, first * plan.parts, plan.steps * plan.parts)
            meter = LossMeter(patches=patches, processes=processes, total=at.loss_sum, steps=first)
            task.set_learning(net, epoch, plan)

            for step in range(first, plan.steps):
                rate = learning_rate(config, at.step, plan)
                for group in optimizer.param_groups:
                    group["lr"] = rate * group["share"]
                # dropout draws from torch's own generator: make it depend on the step alone
                torch.manual_seed(step_seed(config.seed, at.step, processes.rank))
                optimizer.zero_grad(set_to_none=True)
                step_loss, step_places = torch.zeros((), device=device), []
                for part, batch in enumerate(islice(batches, plan.parts)):
                    here = patches.places(batch)
                    groups = batch.groups_on(device)
                    truth = patches.lessons(batch, epoch).to(device, non_blocking=True)
                    inputs = net.preprocess(*groups)
                    if light is not None:
                        inputs = in_light(net, inputs, light.of(here))
                    inputs, truth = augment(inputs, truth, draws.of(here))
                    with autocast(dtype, device):
                        logits = model(*(x.contiguous(memory_format=layout) for x in inputs))
                    loss = objective.loss(logits, truth).sum() / plan.batch
                    with sharing_gradients(model, part == plan.parts - 1):
                        # gradients are averaged over processes; times their number is the sum
                        torch.autograd.backward(scaler.scale(loss * processes.count))
                    step_loss += loss.detach()
                    step_places.append(here)
                scaler.unscale_(optimizer)
                if config.clip_norm:
                    nn.utils.clip_grad_norm_(net.parameters(), config.clip_norm)
                scaler.step(optimizer)
                scaler.update()
                update_average(average, net, config.ema_decay, at.step)
                at.step += 1

                meter.add(step_loss, np.concatenate(step_places))
                last = step == plan.steps - 1
                stop = not last and processes.any(bool(signal_number()), device)
                if meter.due or last or stop:
                    meter.look()
                    at.loss_sum = meter.total
                    figures = {"loss": meter.mean, "learning_rate": rate, "epoch": epoch + 1}
                    for tracker in trackers:
                        tracker.step(at.step, total, figures)
                    if stop or time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
                        save()
                        saved = time.monotonic()
                if stop:
                    raise TrainingInterrupted(signal_number(), epoch + 1, step + 1)

            seconds = time.monotonic() - started
            validation = objective.validate(
                average,
                device=device,
                dtype=dtype,
                batch_size=plan.size,
                workers=config.workers,
                processes=processes,
            )
            row = {
                "epoch": epoch + 1,
                "learning_rate": rate,
                "train_loss": meter.mean,
                **validation.figures,
                "patches_per_second": (plan.steps - first) * plan.batch / seconds,
                "seconds": time.monotonic() - started,
            }
            if at.end_epoch(row, row[names.score], config.select) and processes.leads:
                fitted = validation.calibrate()
                chosen = kept_model(
                    average,
                    fitted,
                    patches,
                    held_out,
                    ground,
                    config,
                    row,
                    environment,
                    run.path.name,
                )
                save_checkpoint(run.model, chosen, overwrite=True)
                at.best_by_class = dict(validation.by_class)
            save()
            if processes.leads:
                run.write_history(at.history)
            for tracker in trackers:
                tracker.epoch(row | {"best_epoch": at.best_epoch})
            if at.step < total and processes.any(bool(signal_number()), device):
                raise TrainingInterrupted(signal_number(), epoch + 1, plan.steps)

    summary = at.summary(plan.epochs, names.by_class)
    if processes.leads:
        if task.plots:
            write_run_plots(
                run.path, at.history, at.best_epoch, at.best_by_class, patches.nomenclature, names
            )
        run.finish(summary)
    processes.wait()
    return summary
