"""Models, a device and threads: what every way of mapping runs on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import torch
from numpy.typing import NDArray

from geolulc.errors import ParameterError
from geolulc.mapping.inference import Ensemble
from geolulc.mapping.located_run import LocatedRun
from geolulc.mapping.location import LocatedEnsemble
from geolulc.mapping.options import MapOptions
from geolulc.mapping.pixel_inference import PixelEnsemble
from geolulc.mapping.pixel_run import PixelRun
from geolulc.mapping.precision import inference_type
from geolulc.mapping.resolution import choose_resolution
from geolulc.mapping.scene_run import Progress as Progress
from geolulc.mapping.scene_run import SceneRun
from geolulc.mapping.workers import Workers
from geolulc.nets import Model
from geolulc.nets.devices import choose_device
from geolulc.products import Product


class Mapper:
    """Models on a device and the threads that decode and infer, for one scene after another.

    A context manager: at its end the threads stop.
    """

    def __init__(self, models: Sequence[Model], options: MapOptions) -> None:
        if not models:
            raise ParameterError("model", found="none", expected="at least one", remedy="Give one.")
        self.models = tuple(models)
        self.options = options
        self.device = choose_device(options.device)
        if options.runtime == "onnx" and (self.device.type != "cpu" or options.overlap == "shared"):
            raise ParameterError(
                "runtime onnx",
                found=f"device {self.device.type}, overlap {options.overlap}",
                expected="a CPU and exact patches",
                remedy="Use --runtime torch, or --device cpu --overlap exact.",
            )
        #: Metres a side of what the map says something of; None: cells of ``stride``.
        self.resolution = choose_resolution(models, options)
        #: Where patches do not overlap there is nothing to share.
        self.shares = options.overlap == "shared" and options.stride < models[0].net.patch_size
        self.ensemble = self._ensemble()
        self._threads = options.threads or available_cores()
        self.batch_size = options.batch_size or _batch_size(self.device, self._threads)
        #: Windows of a pixel model in a batch: one is worth 20 patches.
        self.window_batch = options.batch_size or (1 if self.device.type == "cpu" else 4)
        self._stack = ExitStack()

    def __enter__(self) -> Mapper:
        self._stack.callback(torch.set_num_threads, torch.get_num_threads())
        self.decoders = self._stack.enter_context(Workers(self._threads))
        if self.device.type == "cpu":
            # one thread a batch, as many batches as threads: no thread waits for another
            torch.set_num_threads(1)
            self.networks = self.decoders
        else:
            self.networks = self._stack.enter_context(Workers(1))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def cell_size(self) -> int:
        """Metres a side of a map's cells or pixels."""
        return self.options.stride if self.resolution is None else self.resolution

    def _ensemble(self) -> Ensemble:
        options, augment = self.options, self.options.tta
        if self.models[0].net.task == "pixel":
            return PixelEnsemble(self.models, self.device, test_time_augmentation=augment)
        if self.resolution is not None:
            return LocatedEnsemble(self.models, self.device, self.resolution)
        return Ensemble(
            self.models,
            self.device,
            test_time_augmentation=augment,
            share=self.shares,
            runtime=options.runtime,
            dtype=inference_type(options.precision, self.device),
        )

    def open(
        self, product: Product, selected: NDArray[np.bool_] | None = None
    ) -> SceneRun | PixelRun:
        """A run over ``product``; close it. ``selected``: cells wanted, instead of ``aoi``."""
        if isinstance(self.ensemble, PixelEnsemble):
            return PixelRun(self, self.ensemble, product)
        if isinstance(self.ensemble, LocatedEnsemble):
            return LocatedRun(self, self.ensemble, product, self.cell_size)
        return SceneRun(self, product, selected)


def available_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _batch_size(device: torch.device, threads: int) -> int:
    """Patches in a batch: on a CPU, some 200 MB of activations of a ResNet18 in all."""
    if device.type == "cpu":
        return min(16, max(4, 64 // threads))
    return 512  # halved where the GPU's memory does not hold it
