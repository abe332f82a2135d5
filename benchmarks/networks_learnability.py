"""Does each fusion learn from each resolution? Minutes on two cores.

    python benchmarks/networks_learnability.py [--backbone resnet18] [--patches 512] [--epochs 6]

Classes of the made patches are defined in one resolution only: a texture at 10 m, a red-edge
ratio at 20 m, water vapour at 60 m (``tests/made_classes.py``). A network that loses a group, or
averages it away, stays at an average precision of about 0.5 there. Prints AP on unseen patches.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from sklearn.metrics import average_precision_score
from torch.nn import functional

from geolulc.bands import BAND_NAMES
from geolulc.nets import LandCoverNet, NetConfig, Normalisation, build_net

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from made_classes import DEFINED_IN, Patches, make_class_patches

NORMALISATION = Normalisation(dict.fromkeys(BAND_NAMES, 1750.0), dict.fromkeys(BAND_NAMES, 300.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--patches", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--fusions", default="early,intermediate,late")
    options = parser.parse_args()
    unseen = make_class_patches(256, seed=2)
    failed = False
    for fusion in options.fusions.split(","):
        start = time.monotonic()
        net = learn(fusion, options.backbone, options.patches, options.epochs)
        scores = average_precisions(net, unseen)
        failed |= min(scores.values()) < 0.95
        shown = "  ".join(f"{r} m {ap:.3f}" for r, ap in scores.items())
        print(f"{options.backbone} {fusion:13} AP {shown}  ({time.monotonic() - start:.0f} s)")
    sys.exit(int(failed))


def learn(fusion: str, backbone: str, patches: int, epochs: int, seed: int = 0) -> LandCoverNet:
    """A network trained on made patches with AdamW and a one-cycle rate."""
    net = build_net(
        NetConfig(fusion=fusion, backbone=backbone),
        classes=tuple(DEFINED_IN),
        nomenclature="ben19",
        normalisation=NORMALISATION,
        seed=seed,
    ).train()
    data = make_class_patches(patches, seed=1)
    inputs = net.preprocess(*data[:3])
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    batch = 16
    steps = epochs * (patches // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(patches, generator=generator)
        for at in range(0, patches - batch + 1, batch):
            chosen = order[at : at + batch]
            logits = net.classify(*(x[chosen] for x in inputs))
            loss = functional.binary_cross_entropy_with_logits(logits, data.targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def average_precisions(net: LandCoverNet, data: Patches) -> dict[int, float]:
    """Resolution → AP of the class that is defined in it."""
    with torch.no_grad():
        logits = torch.cat(
            [net(*(b[at : at + 64] for b in data[:3])) for at in range(0, len(data.targets), 64)]
        )
    return {
        resolution: float(average_precision_score(data.targets[:, i], logits[:, i]))
        for i, resolution in enumerate(DEFINED_IN.values())
    }


if __name__ == "__main__":
    main()
