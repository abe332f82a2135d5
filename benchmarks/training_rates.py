"""Training on a GPU: images/s, share of peak, memory and best batch size of the six models.

    python benchmarks/training_rates.py [--device cuda] [--peak 989] [--batches 64,128,256,512]

Measures the loop's own step (preprocessing, augmentation, bf16 forward and backward, clipping,
fused AdamW, averaged weights) on one batch kept on the device, then the whole of ``geolulc train``
on a made store with the loader feeding it. ``--peak`` is the device's dense bf16 rate in TFLOP/s
(989 for an H100 or H200 SXM).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from geolulc.bands import BAND_NAMES, GROUPS, RESOLUTIONS
from geolulc.datasets import open_store
from geolulc.datasets.patch import BIGEARTHNET
from geolulc.learning import TrainConfig, train
from geolulc.learning.augmentation import augment, draw
from geolulc.learning.losses import make_loss
from geolulc.learning.networks import make_net, memory_format
from geolulc.learning.optimisation import make_optimizer, update_average
from geolulc.learning.patches import SplitPatches
from geolulc.nets.devices import autocast, autocast_type, choose_device

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from made_archives import make_patch, make_store


def step_function(
    patches: SplitPatches, config: TrainConfig, device: torch.device
) -> Callable[[], None]:
    """A step of the training loop on one batch that stays on ``device``."""
    batch, layout = config.batch_size, memory_format(device)
    dtype = autocast_type(config.precision, device)
    net, average = (make_net(patches, config, device) for _ in range(2))
    optimizer = make_optimizer(net, config)
    loss_of = make_loss(config, torch.from_numpy(patches.targets.mean(axis=0)).to(device))
    dn = [
        torch.randint(1, 4000, (batch, len(GROUPS[r]), 1200 // r, 1200 // r)).to(torch.uint16)
        for r in RESOLUTIONS
    ]
    b10, b20, b60 = (b.to(device) for b in dn)
    targets = (torch.rand(batch, patches.targets.shape[1]) < 0.15).float().to(device)
    draws = draw(config, 0, batch, len(BAND_NAMES), BIGEARTHNET).of(np.arange(batch))

    def step() -> None:
        inputs, truth = augment(net.preprocess(b10, b20, b60), targets, draws)
        with autocast(dtype, device):
            logits = net.classify(*(x.contiguous(memory_format=layout) for x in inputs))
        optimizer.zero_grad(set_to_none=True)
        loss_of(logits, truth).mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), config.clip_norm)
        optimizer.step()
        update_average(average, net, config.ema_decay, 1000)

    return step


def measure(step: Callable[[], None], device: torch.device, seconds: float) -> float:
    """Seconds a step, after warming up."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(3):
        step()
    wait()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(5):
            step()
        wait()
        count += 5
    return (time.perf_counter() - started) / count


class Rates:
    """A tracker that keeps the rate of each epoch."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def step(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        pass

    def epoch(self, figures: Mapping[str, float]) -> None:
        self.rates.append(figures["patches_per_second"])

    def close(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--peak", type=float, default=989.0, help="dense bf16 TFLOP/s")
    parser.add_argument("--batches", default="64,128,256,512,1024")
    parser.add_argument("--backbones", default="resnet18,efficientnet_b5")
    parser.add_argument("--fusions", default="early,intermediate,late")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--patches", type=int, default=16384, help="of the made store")
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args()
    device = choose_device(options.device)
    print(f"torch {torch.__version__} on {options.device}")
    print("model                           batch  images/s  of peak  memory GB  end to end")
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(
            Path(folder) / "made.store", options.patches,
            patch=lambda i: make_patch(i, split="train"),
        )  # fmt: skip
        patches = SplitPatches(open_store(store), "train")
        for backbone in options.backbones.split(","):
            for fusion in options.fusions.split(","):
                report(store, patches, backbone, fusion, device, options, Path(folder) / "run")


def report(
    store: Path,
    patches: SplitPatches,
    backbone: str,
    fusion: str,
    device: torch.device,
    options: argparse.Namespace,
    run: Path,
) -> None:
    best = (0.0, 0)
    for batch in map(int, options.batches.split(",")):
        config = TrainConfig(backbone=backbone, fusion=fusion, batch_size=batch, epochs=2,
                             select="last", workers=options.workers)  # fmt: skip
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        try:
            step = step_function(patches, config, device)
            with FlopCounterMode(display=False) as counter:
                step()
            seconds = measure(step, device, options.seconds)
        except torch.OutOfMemoryError:
            print(f"{backbone + ' ' + fusion:30} {batch:6}  out of memory", flush=True)
            break
        rate = batch / seconds
        share = counter.get_total_flops() / seconds / (options.peak * 1e12)
        memory = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else 0.0
        print(f"{backbone + ' ' + fusion:30} {batch:6} {rate:9.0f} {share:8.1%} {memory:10.1f}",
              flush=True)  # fmt: skip
        best = max(best, (rate, batch))
    rates = Rates()
    config = TrainConfig(backbone=backbone, fusion=fusion, batch_size=best[1], epochs=2,
                         select="last", workers=options.workers)  # fmt: skip
    train(store, run, config, device=options.device, overwrite=True, trackers=[rates])
    print(f"{backbone + ' ' + fusion:30} {best[1]:6} {best[0]:9.0f} {'':19} {rates.rates[-1]:11.0f}"
          f"  ({rates.rates[-1] / best[0]:.2f} of the step alone)", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
