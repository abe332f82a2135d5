"""The forward pass of mapping on a CPU, by runtime: torch, ONNX Runtime, and OpenVINO.

    python benchmarks/runtimes.py [--backbones resnet18 efficientnet_b0 resnet50] [--rounds 7]

Batches of 16 patches, one thread a batch and as many batches at once as threads, as ``geolulc map``
runs them; early fusion with random weights (the rate does not depend on them). The ways take turns;
medians of the rounds are printed, by wall and by CPU time (which counts on a machine that others
use too). OpenVINO is no runtime of ``geolulc map``, because of what this prints; it takes part
where it is installed, in float32, with one stream a thread.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geolulc.bands import BAND_NAMES, GROUPS, RESOLUTIONS
from geolulc.mapping.inference import Ensemble
from geolulc.mapping.runtimes import OnnxClassifier, export_graph
from geolulc.mapping.workers import Workers
from geolulc.nets import Model, NetConfig, Normalisation, build_net
from geolulc.nomenclature import BEN19
from geolulc.process import available_cores

BATCH = 16


class OpenVinoClassifier:
    """``classify`` of a network by OpenVINO; each calling thread has a request of its own."""

    def __init__(self, net: Any, threads: int) -> None:
        import openvino

        core = openvino.Core()
        self._compiled = core.compile_model(
            core.read_model(export_graph(net), b""),
            "CPU",
            {
                # else bfloat16 where the CPU has it
                "INFERENCE_PRECISION_HINT": "f32",
                "NUM_STREAMS": threads,
                "INFERENCE_NUM_THREADS": threads,
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._requests = threading.local()

    def classify(self, *groups: Tensor) -> Tensor:
        """Logits (N, classes) of normalised groups."""
        request = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._compiled.create_infer_request()
        return torch.tensor(request.infer([x.numpy() for x in groups], share_inputs=True)[0])


def runtimes(net: Any, threads: int) -> dict[str, Any]:
    """What classifies as ``net`` does, by name."""
    found: dict[str, Any] = {"torch": net, "onnx": OnnxClassifier(net)}
    try:
        found["openvino"] = OpenVinoClassifier(net, threads)
    except ImportError:
        print("OpenVINO is not installed")
    return found


def ensemble_of(backbone: str) -> Ensemble:
    """A network with early fusion and random weights, prepared as for mapping."""
    statistics = Normalisation(dict.fromkeys(BAND_NAMES, 1500.0), dict.fromkeys(BAND_NAMES, 900.0))
    net = build_net(
        NetConfig(backbone=backbone),
        classes=BEN19.names,
        nomenclature=BEN19.id,
        normalisation=statistics,
        seed=0,
    )
    return Ensemble([Model(net.eval(), name=backbone)], torch.device("cpu"))


def groups_of(ensemble: Ensemble) -> list[Tensor]:
    """A batch of patches as the network sees them."""
    rng = np.random.default_rng(0)
    dn = {
        r: rng.integers(1, 4000, (len(GROUPS[r]), 1200 // r, BATCH * 1200 // r)).astype(np.uint16)
        for r in RESOLUTIONS
    }
    (strip,) = ensemble.prepare(dn, ensemble.offsets(dict.fromkeys(BAND_NAMES, 0)))
    return [torch.stack(x.split(1200 // r, dim=2)) for x, r in zip(strip, RESOLUTIONS, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "efficientnet_b0"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=4, help="batches a round")
    parser.add_argument("--threads", type=int, default=available_cores())
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    patches = arguments.batches * BATCH
    print(f"{arguments.threads} threads, load {os.getloadavg()[0]:.1f}")
    for backbone in arguments.backbones:
        ensemble = ensemble_of(backbone)
        groups = groups_of(ensemble)
        ways = runtimes(ensemble._nets[0], arguments.threads)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}

        def forward(way: Any, groups: list[Tensor] = groups) -> Tensor:
            with torch.inference_mode():
                return way.classify(*groups)

        answers = {name: forward(way).sigmoid() for name, way in ways.items()}
        with Workers(arguments.threads) as workers:
            # the first round is for warming up
            for number in range(arguments.rounds + 1):
                for name, way in ways.items():
                    wall, cpu = time.perf_counter(), time.process_time()
                    futures = [
                        workers.submit(0, "forward", partial(forward, way))
                        for _ in range(arguments.batches)
                    ]
                    for future in futures:
                        workers.result(future)
                    if number:
                        took = time.perf_counter() - wall, time.process_time() - cpu
                        times[name].append(took)
        base = np.median(times["torch"], axis=0)
        for name, found in times.items():
            wall, cpu = np.median(found, axis=0)
            apart = (answers[name] - answers["torch"]).abs().max().item()
            print(
                f"{backbone:16s} {name:9s} {patches / wall:6.1f} patches/s, "
                f"{1000 * cpu / patches:6.2f} ms of CPU a patch: {base[1] / cpu:.2f} × torch "
                f"(wall {base[0] / wall:.2f} ×), probabilities within {apart:.0e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
