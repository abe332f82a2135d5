"""Training fed by the loader against training on one batch kept on the device.

    python benchmarks/load_training.py [--device cuda] [--patches 4096] [--batch 256] [--steps 60]

Both run the same step: preprocess on the device, ResNet18 of timm over 12 bands at 120 × 120,
backward, AdamW, with bf16 autocast on CUDA. Fed by the loader, every step takes a new batch from
the store (page cache warm), copied to the device while the step before runs. Wanted: at least 0.95
of the rate with one batch on the device, with the CPU cores there. It says something on a GPU only.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import timm
import torch

from geolulc.datasets import open_store
from geolulc.datasets.loader import Batch, PatchLoader

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from made_archives import make_store


def to_device(batch: Batch, device: torch.device) -> list[torch.Tensor]:
    return [t.to(device, non_blocking=True) for t in batch[:4]]


def endless(loader: PatchLoader, device: torch.device) -> Iterator[list[torch.Tensor]]:
    """Batches on the device, the next one on its way while this one is used."""
    ahead = None
    epoch = 0
    while True:
        loader.set_epoch(epoch)
        for batch in loader:
            ready, ahead = ahead, to_device(batch, device)
            if ready is not None:
                yield ready
        epoch += 1


def preprocess(b10: torch.Tensor, b20: torch.Tensor, b60: torch.Tensor) -> torch.Tensor:
    groups = [(g.float() - 1000) / 1000 for g in (b10, b20, b60)]
    resized = [torch.nn.functional.interpolate(g, (120, 120), mode="bilinear") for g in groups[1:]]
    return torch.cat([groups[0], *resized], 1)


def rate(batches: Iterator[list[torch.Tensor]], device: torch.device, steps: int) -> float:
    torch.manual_seed(0)
    net = timm.create_model("resnet18", in_chans=12, num_classes=19).to(device)
    net = net.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3)
    warm = max(2, steps // 5)
    count = 0
    start = 0.0
    for step, (b10, b20, b60, targets) in enumerate(batches):
        if step == warm:
            wait(device)
            start = time.perf_counter()
        if step == warm + steps:
            break
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = net(preprocess(b10, b20, b60).contiguous(memory_format=torch.channels_last))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step >= warm:
            count += len(b10)
    wait(device)
    return count / (time.perf_counter() - start)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--patches", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--workers", default="1,2,4,8")
    options = parser.parse_args()
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as temporary:
        store = open_store(make_store(Path(temporary) / "store", options.patches, shards=4))

        def loader(workers: int) -> PatchLoader:
            return PatchLoader(
                store,
                range(len(store)),
                options.batch,
                shuffle=True,
                drop_last=True,
                workers=workers,
                pin_memory=device.type == "cuda",
            )

        kept = to_device(next(iter(loader(0))), device)
        best = rate(iter(lambda: kept, None), device, options.steps)
        print(f"{device}, {len(os.sched_getaffinity(0))} cores, batches of {options.batch}")
        print(f"one batch kept on the device: {best:8,.0f} patches/s")
        for workers in map(int, options.workers.split(",")):
            fed = rate(endless(loader(workers), device), device, options.steps)
            print(
                f"loader with {workers} workers:     {fed:8,.0f} patches/s = {fed / best:.3f} "
                "(wanted 0.95)"
            )


if __name__ == "__main__":
    main()
