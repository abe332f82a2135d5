"""What the fusions cost beside the bare timm model: CPU seconds of a training step.

    python benchmarks/networks.py [--backbones resnet18,efficientnet_b0] [--batch 16]

Bare: the timm model on 12 float32 bands already at 120 × 120. Ours: from raw uint16 groups,
radiometry, masks, normalisation and resizing included. Late fusion runs encoders at three sizes;
its own yardstick are the bare encoders on inputs of those sizes. Steps of both alternate; the
figure is the ratio of the median CPU times, so other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import timm
import torch

from geolulc.bands import BAND_NAMES, GROUPS, RESOLUTIONS
from geolulc.nets import NetConfig, Normalisation, build_net
from geolulc.nets.stages import run_modules
from geolulc.nomenclature import BEN19

NORMALISATION = Normalisation(dict.fromkeys(BAND_NAMES, 1500.0), dict.fromkeys(BAND_NAMES, 900.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", default="resnet18,efficientnet_b0,convnextv2_atto,resnet50")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, batch {options.batch}, {options.threads} thread(s)")
    print(f"{'backbone':18} {'fusion':13} {'bare ms':>8} {'ours ms':>8} {'ratio':>6}  yardstick")
    for backbone in options.backbones.split(","):
        for fusion in ("early", "intermediate", "late"):
            report(backbone, fusion, options.batch, options.rounds)


def report(backbone: str, fusion: str, batch: int, rounds: int) -> None:
    net = build_net(
        NetConfig(fusion=fusion, backbone=backbone),
        classes=BEN19.names,
        nomenclature=BEN19.id,
        normalisation=NORMALISATION,
        seed=0,
    ).train()
    patches = [
        torch.randint(1, 4000, (batch, len(GROUPS[r]), 1200 // r, 1200 // r)).to(torch.uint16)
        for r in RESOLUTIONS
    ]
    whole = timm.create_model(backbone, in_chans=12, num_classes=19).train()
    images = torch.randn(batch, 12, 120, 120)
    yardsticks = {"one bare model at 120 px": step(whole, lambda: whole(images))}
    if fusion == "late":
        inputs = [torch.randn(p.shape) for p in patches]
        shallow = net.fusion.encoder60

        def bare_encoders() -> torch.Tensor:
            a = net.fusion.encoder10.backbone(inputs[0])
            b = net.fusion.encoder20.backbone(inputs[1])
            c = run_modules(shallow.backbone, shallow.modules_used, inputs[2])
            return a.sum() + b.sum() + c.sum()

        yardsticks["its bare encoders"] = step(net, bare_encoders)
    ours = step(net, lambda: net(*patches))
    for name, bare in yardsticks.items():
        slow, fast = alternate(bare, ours, rounds)
        print(
            f"{backbone:18} {fusion:13} {slow * 1e3:8.0f} {fast * 1e3:8.0f} {fast / slow:6.3f}  "
            f"{name}",
            flush=True,
        )


def step(model: torch.nn.Module, forward: Callable[[], torch.Tensor]) -> Callable[[], None]:
    def run() -> None:
        model.zero_grad()
        forward().square().mean().backward()

    return run


def alternate(
    bare: Callable[[], None], ours: Callable[[], None], rounds: int
) -> tuple[float, float]:
    """Median CPU seconds of both, run in turns after a warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for which, run in enumerate((bare, ours)):
            start = time.process_time()
            run()
            if turn:
                times[which].append(time.process_time() - start)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    main()
