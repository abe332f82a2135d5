"""What a step of our training loop costs beside a bare loop around the timm model: CPU seconds.

    python benchmarks/training_step.py [--backbones resnet18,efficientnet_b0] [--batch 16]

Ours: ``geolulc train`` on a made store, everything included: reading, radiometry, masks,
normalisation, flips and turns, resizing or fusion, clipping, AdamW, averaged weights, progress.
Bare: forward, backward, clipping and AdamW of the timm model on images already at 120 × 120.
A bare step follows each of ours, and the medians of their CPU times are compared, so that other
work on the machine matters little.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import timm
import torch
from torch import nn

from geolulc.learning import TrainConfig, train

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from made_archives import make_patch, make_store


class Alternate:
    """A tracker that takes the time of each step and runs a bare one after it."""

    def __init__(self, bare: Callable[[], None]) -> None:
        self.bare = bare
        self.ours: list[float] = []
        self.bares: list[float] = []
        self.last: float | None = None

    def step(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        now = time.process_time()
        if self.last is not None:
            self.ours.append(now - self.last)
        self.bare()
        self.last = time.process_time()
        self.bares.append(self.last - now)

    def epoch(self, figures: Mapping[str, float]) -> None:
        self.last = None

    def close(self) -> None:
        pass


def bare_step(backbone: str, batch: int) -> Callable[[], None]:
    """A training step of the timm model on random images."""
    model = timm.create_model(backbone, in_chans=12, num_classes=19).train()
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    images = torch.randn(batch, 12, 120, 120).contiguous(memory_format=torch.channels_last)
    targets = (torch.rand(batch, 19) < 0.15).float()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.binary_cross_entropy_with_logits(model(images), targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", default="resnet18,efficientnet_b0,resnet50")
    parser.add_argument("--fusions", default="early,intermediate,late")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, batch {options.batch}, {options.threads} thread(s)")
    print(f"{'backbone':18} {'fusion':13} {'bare ms':>8} {'ours ms':>8} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        count = options.batch * options.steps
        store = make_store(
            Path(folder) / "made.store", count, patch=lambda i: make_patch(i, split="train")
        )
        for backbone in options.backbones.split(","):
            for fusion in options.fusions.split(","):
                config = TrainConfig(
                    fusion=fusion, backbone=backbone, epochs=1, batch_size=options.batch,
                    select="last", workers=0,
                )  # fmt: skip
                alternate = Alternate(bare_step(backbone, options.batch))
                train(store, Path(folder) / "run", config, device="cpu", overwrite=True,
                      trackers=[alternate])  # fmt: skip
                bare, ours = map(statistics.median, (alternate.bares[1:], alternate.ours))
                print(
                    f"{backbone:18} {fusion:13} {bare * 1e3:8.0f} {ours * 1e3:8.0f}"
                    f" {ours / bare:6.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
