"""How far probabilities in half precision lie from those in float32.

    python benchmarks/precision.py MODEL… [--store STORE] [--scene SCENE --stride 600]

Both half types, on all patches of a store and on a scene, where ``geolulc map`` must stay within
5e-3. Runs where ``--device`` says; on a CPU half precision is emulated: its numbers, not its speed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from geolulc.datasets import open_store
from geolulc.datasets.loader import PatchLoader
from geolulc.mapping import predict_scene
from geolulc.mapping.inference import Ensemble, inference_type
from geolulc.nets import Model, load_checkpoint
from geolulc.nets.devices import autocast, choose_device


def on_patches(path: Path, model: Model, precision: str, device: torch.device) -> NDArray:
    """Probabilities (patches, classes) of a store."""
    store = open_store(path)
    net = Ensemble([model], device)._nets[0]
    dtype = inference_type(precision, device)
    found = []
    with torch.inference_mode():
        for batch in PatchLoader(store, np.arange(len(store.keys)), 16, shuffle=False):
            groups = net.preprocess(*(b.to(device) for b in batch.groups))
            with autocast(dtype, device):
                logits = net.classify(*groups).float()
            found.append(model.probabilities(logits).cpu())
    return torch.cat(found).numpy()


def on_scene(path: Path, model: Model, precision: str, device: str, stride: int) -> NDArray:
    """Probabilities (classes, rows, columns) of a scene."""
    found = predict_scene(
        path, model, stride=stride, precision=precision, device=device, mask_scl=()
    )
    return found.block.probabilities


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--scene", type=Path)
    parser.add_argument("--stride", type=int, default=600)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    for path in arguments.models:
        model = load_checkpoint(path)
        ways = {}
        if arguments.store:
            ways["patches"] = lambda p, m=model: on_patches(arguments.store, m, p, device)
        if arguments.scene:
            ways["scene"] = lambda p, m=model: on_scene(
                arguments.scene, m, p, str(device), arguments.stride
            )
        for name, way in ways.items():
            exact = way("float32")
            for precision in ("fp16", "bf16"):
                apart = np.abs(way(precision) - exact)
                print(
                    f"{model.name:24s} {name:8s} {precision}: mean {np.nanmean(apart):.1e}, "
                    f"largest {np.nanmax(apart):.1e} of {apart.size} probabilities",
                    flush=True,
                )


if __name__ == "__main__":
    main()
