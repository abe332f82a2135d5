"""Models, a device and threads: what every way of mapping runs on."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from geolulc.errors import ParameterError, ProductError
from geolulc.grid import LOCATED_CELLS
from geolulc.mapping.area import area_digest
from geolulc.mapping.cells import PatchCells
from geolulc.mapping.inference import Ensemble, inference_type
from geolulc.mapping.inner_cells import InnerCells
from geolulc.mapping.location import LocatedEnsemble
from geolulc.mapping.options import MapOptions, listed
from geolulc.mapping.pixel_cells import PixelCells
from geolulc.mapping.run import Cells, Run
from geolulc.mapping.window_inference import WindowEnsemble
from geolulc.mapping.workers import Workers
from geolulc.nets import Model
from geolulc.nets.devices import choose_device
from geolulc.process import available_cores
from geolulc.products import Scene, require_images, unplaced_images

#: Options that a map does not depend on.
_UNSHAPING: Final = ("device", "threads", "batch_size", "verify", "allow_internal")
_CELLS: Final = "320, 160 or 80 m, placed by the model's own evidence"


class Mapper:
    """Models on a device and the threads that decode and infer, for one scene after another.

    A context manager: at its end the threads stop.
    """

    def __init__(self, models: Sequence[Model], options: MapOptions) -> None:
        if not models:
            raise ParameterError("model", found="none", expected="at least one", remedy="Give one.")
        self.models = tuple(models)
        options = replace(options, stride=options.stride or models[0].net.patch_size)
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
        self.shares = options.overlap == "shared" and self.stride < models[0].net.patch_size
        self.ensemble = self._ensemble()
        self._threads = options.threads or available_cores()
        self.batch_size = options.batch_size or _batch_size(self.device, self._threads)
        #: Windows of a pixel model in a batch: one is worth 20 patches.
        self.window_batch = options.batch_size or (1 if self.device.type == "cpu" else 4)
        self._stack = ExitStack()

    def __enter__(self) -> Mapper:
        self._stack.callback(torch.set_num_threads, torch.get_num_threads())
        self._stack.enter_context(unplaced_images())
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
    def stride(self) -> int:
        """Metres from one patch to the next."""
        return self.options.stride or self.models[0].net.patch_size

    @property
    def cell_size(self) -> int:
        """Metres a side of a map's cells or pixels."""
        return self.stride if self.resolution is None else self.resolution

    @functools.cached_property
    def made_with(self) -> dict[str, Any]:
        """The models and options that shape a map, for ``outputs.run_record``.

        Raises:
            ParameterError: the area of interest cannot be read.
        """
        options = replace(self.options, resolution=self.resolution)
        made = {
            field.name: getattr(options, field.name)
            for field in fields(options)
            if field.name not in _UNSHAPING and getattr(options, field.name) is not None
        }
        orders = [model.provenance.get("band_order") for model in self.models]
        return {
            **made,
            "mask_scl": sorted(options.mask_scl),
            "overlap": "shared" if self.shares else "exact",
            "model": self.ensemble.origin["sha256"],
            **({} if options.aoi is None else {"aoi": area_digest(options.aoi)}),
            **({"band_order": orders} if any(orders) else {}),
        }

    def _ensemble(self) -> Ensemble:
        options, augment = self.options, self.options.tta
        if self.models[0].net.task == "pixel":
            return WindowEnsemble(self.models, self.device, test_time_augmentation=augment)
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

    def open(self, scene: Scene, selected: NDArray[np.bool_] | None = None) -> Run:
        """A run over ``scene``; close it. ``selected``: cells wanted, instead of ``aoi``.

        Raises:
            ProductError: it is of another processing level than the models were trained on, or
                lacks a band of theirs.
        """
        for model in self.models:
            seen, learned = scene.sensor.as_mapping(), model.net.sensor.as_mapping()
            if seen != learned:
                differ = [name for name in seen if seen[name] != learned[name]]
                other = "" if "id" in differ else f" of another {' and '.join(differ)}"
                raise ProductError(
                    scene.path,
                    found=f"a scene of the sensor {seen['id']}{other}",
                    expected=f"{learned['id']}, which {model.name} was trained on",
                    remedy="Map a scene of that sensor, or use another model.",
                )
            if not can_see(model, scene):
                raise ProductError(
                    scene.path,
                    found=f"a Level-{scene.level[1:]} product",
                    expected=f"Level-{model.net.level[1:]}, which {model.name} was trained on",
                    remedy="Map that product of the scene, or use a model of this level.",
                )
            require_images(scene, model.net.band_names, model.name)
        return Run(
            self._cells(scene, selected),
            scene,
            decoders=self.decoders,
            networks=self.networks,
            mask_scl=bool(self.options.mask_scl),
            verify=self.options.verify,
            allow_empty=self.options.allow_empty,
        )

    def _cells(self, scene: Scene, selected: NDArray[np.bool_] | None) -> Cells:
        ensemble, options = self.ensemble, replace(self.options, resolution=self.resolution)
        if isinstance(ensemble, WindowEnsemble):
            return PixelCells(ensemble, scene, options, batch_size=self.window_batch)
        if isinstance(ensemble, LocatedEnsemble):
            return InnerCells(ensemble, scene, options, batch_size=self.batch_size)
        return PatchCells(
            ensemble,
            scene,
            options,
            batch_size=self.batch_size,
            shared=self.shares,
            selected=selected,
        )


def can_see(model: Model, scene: Scene) -> bool:
    """Whether a model was trained on products of this level, or the difference can be computed."""
    levels = model.net.level, scene.level
    computed = model.net.task == "pixel" and scene.sun is not None
    return levels[0] == levels[1] or (computed and levels == ("L1C", "L2A"))


def _batch_size(device: torch.device, threads: int) -> int:
    """Patches in a batch: on a CPU, some 200 MB of activations of a ResNet18 in all."""
    if device.type == "cpu":
        return min(16, max(4, 64 // threads))
    return 512  # halved where the GPU's memory does not hold it


def choose_resolution(models: Sequence[Model], options: MapOptions) -> int | None:
    """Metres a side of a map's cells or pixels; None for one cell a patch (``stride``).

    Raises:
        ParameterError: the models cannot do what the options ask for.
    """
    first, asked = models[0], options.resolution
    pixels = first.net.sensor.resolutions
    if first.net.task == "pixel":
        if asked not in (None, *pixels):
            raise _refusal(
                asked,
                f"{first.name}, a model of pixels",
                f"{listed(pixels)} m",
                f"Leave --resolution out for {pixels[0]} m.",
            )
        usual = options.stride in (None, first.net.patch_size) and options.overlap == "exact"
        if not usual or _changed(options):
            raise ParameterError(
                f"model {first.name}",
                found=f"stride {options.stride}, overlap {options.overlap}, "
                f"runtime {options.runtime}, precision {options.precision} for a model of pixels",
                expected="none of them: its windows overlap by themselves, in torch and float32",
                remedy="Leave them out.",
            )
        return asked or pixels[0]
    if asked is not None and asked not in LOCATED_CELLS:
        raise _refusal(
            asked,
            f"{first.name}, a model of patches",
            _CELLS,
            f"Use --resolution {LOCATED_CELLS[0]}, or a model trained with --task pixel.",
        )
    if asked is not None and first.net.task == "fraction":
        raise _refusal(
            asked,
            f"{first.name}, a model of fractions",
            "none: its fractions are of a patch as a whole",
            "Use --stride for cells that are finer than a patch.",
        )
    if asked is not None and (options.overlap != "exact" or _changed(options) or options.tta):
        raise ParameterError(
            f"resolution {asked} m",
            found=f"overlap {options.overlap}, runtime {options.runtime}, "
            f"precision {options.precision}, tta {options.tta}",
            expected="exact patches in torch and float32, as they are: their evidence has a place",
            remedy="Leave these out; --stride 600 averages over patches that overlap.",
        )
    return asked


def _changed(options: MapOptions) -> bool:
    """Whether convolutions shall run elsewhere than in torch, or in half precision."""
    return options.runtime != "torch" or options.precision not in ("auto", "float32")


def _refusal(asked: int | None, found: str, expected: str, remedy: str) -> ParameterError:
    return ParameterError(f"resolution {asked} m", found=found, expected=expected, remedy=remedy)
