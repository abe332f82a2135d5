"""Probabilities of patches cut from strips: one network or several, on one device."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from geolulc.domain import Spectra, domain_of
from geolulc.errors import ParameterError
from geolulc.mapping.runtimes import OnnxClassifier
from geolulc.mapping.sharing import SharedTrunk
from geolulc.maps.header import AVERAGED, PRIOR
from geolulc.nets import Model
from geolulc.nets.devices import autocast
from geolulc.nets.folding import fold_batch_norm
from geolulc.nets.turns import turned
from geolulc.process import give_back_memory

_LOG: Final = logging.getLogger(__name__)
#: The types by name that convolutions can run in; None is float32.
_TYPES: Final = {"float32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
#: A strip as one network sees it: float32 (bands, rows, columns) for each of its resolutions.
NetworkStrip = tuple[Tensor, ...]
#: What geographic priors add to the logits of each model, float64 (…, classes).
Shifts = Sequence[NDArray[np.float64]]
#: Metres of a strip that are prepared at once, or the next multiple of the coarsest pixel.
_LINES: Final = 360
#: Classes whose shifts are named, and the shift in logits from which one is worth a word.
_MOST_NAMED: Final = 3
_LEAST_SHIFT: Final = 0.05


class Ensemble:
    """Models of the same classes, ready to run; their probabilities are averaged.

    Works on copies: batch norms are folded into convolutions and, on a CPU or GPU, weights are
    laid out channels last, which both run faster. Folding changes probabilities by some 1e-6.

    Attributes:
        classes: names, in the order of the first model.
        thresholds: means of the models' thresholds.
        patch_size: metres.
        sensor: whose bands the models see.
        bands: resolution → names of the bands that the models need, the finest first.
        overflows: whether a logit was too large for float32 once; it is NaN then.
    """

    def __init__(
        self,
        models: Sequence[Model],
        device: torch.device,
        *,
        test_time_augmentation: bool = False,
        share: bool = False,
        runtime: str = "torch",
        dtype: torch.dtype | None = None,
    ) -> None:
        """``dtype``: that convolutions run in, None for float32; everything else is float32."""
        first = models[0].net
        for model in models[1:]:
            for what in ("task", "level", "sensor"):
                own, expected = getattr(model.net, what), getattr(first, what)
                if own != expected:
                    own, expected = (getattr(value, "id", value) for value in (own, expected))
                    raise ParameterError(
                        f"model {model.name}",
                        found=f"the {what} {own}",
                        expected=f"the {what} {expected}, as {models[0].name} has",
                        remedy=f"Average models of one {what}.",
                    )
            if set(model.net.classes) != set(first.classes):
                raise ParameterError(
                    f"model {model.name}",
                    found=f"{len(model.net.classes)} classes ({model.net.nomenclature.id})",
                    expected=f"the classes of {models[0].name} ({first.nomenclature.id})",
                    remedy="Average models of the same classes.",
                )
            if model.net.patch_size != first.patch_size:
                raise ParameterError(
                    f"model {model.name}",
                    found=f"patches of {model.net.patch_size} m",
                    expected=f"{first.patch_size} m, as {models[0].name} has",
                    remedy="Average models of the same patch size.",
                )
        self.classes = first.classes
        self.nomenclature = first.nomenclature
        self.patch_size = first.patch_size
        self.sensor = first.sensor
        self._orders = [[m.net.classes.index(c) for c in first.classes] for m in models]
        self.thresholds = tuple(
            float(np.mean([m.thresholds[o[i]] for m, o in zip(models, self._orders, strict=True)]))
            for i in range(len(first.classes))
        )
        self.bands = _union([model.net.bands for model in models])
        self.device = device
        self.overflows = False
        self._dtype = dtype
        self._models = models
        self._turns = range(8) if test_time_augmentation else range(1)
        self._nets: list[Any] = [self._prepare(m) for m in models]
        self._classifiers: list[Any] = list(self._nets)
        if runtime == "onnx":
            self._classifiers = [OnnxClassifier(net) for net in self._nets]
        self._trunks = (
            [SharedTrunk(net, model.name) for net, model in zip(self._nets, models, strict=share)]
            if share
            else []
        )
        # the weights that folding and channels last have replaced
        give_back_memory()

    @property
    def has_prior(self) -> bool:
        """Whether a model has a geographic prior."""
        return any(model.net.geographic_prior is not None for model in self._models)

    def shifts(self, longitude: ArrayLike, latitude: ArrayLike) -> Shifts:
        """What geographic priors add to each model's logits at places in degrees, (…, classes).

        In the model's own order of classes; 0 of a model without a prior.
        """
        priors = [model.net.geographic_prior for model in self._models]
        none = np.zeros((*np.shape(longitude), len(self.classes)))
        return [none if p is None else p.at(longitude, latitude) for p in priors]

    def largest_shifts(self, longitude: float, latitude: float) -> dict[str, str]:
        """``PRIOR`` in a map's header, of one place; {} where there is no shift to speak of."""
        shifts = self.shifts(longitude, latitude)
        own = [shift[order] for shift, order in zip(shifts, self._orders, strict=True)]
        mean = np.mean(own, axis=0)
        most = np.argsort(-np.abs(mean), kind="stable")[:_MOST_NAMED]
        if abs(mean[most[0]]) < _LEAST_SHIFT:
            return {}
        return {PRIOR: ", ".join(f"{self.classes[i]} {mean[i]:+.1f}" for i in most)}

    @property
    def fractions(self) -> bool:
        """Whether probabilities are fractions of cover, which add up to 1."""
        return self._models[0].net.task == "fraction"

    @property
    def frequencies(self) -> tuple[float, ...]:
        """Share of the training patches that have each class, the models' mean.

        () where it is not known, and of fractions, whose doubt it does not measure.
        """
        found: list[list[float]] = []
        if self.fractions:
            return ()
        for model in self._models:
            patches = model.provenance.get("train_patches", 0)
            positives = model.provenance.get("train_positives", {})
            known = isinstance(positives, Mapping) and set(self.classes) <= set(positives)
            if not (isinstance(patches, int) and patches > 0 and known):
                return ()
            found.append([positives[name] / patches for name in self.classes])
        return tuple(round(sum(some) / len(found), 6) for some in zip(*found, strict=True))

    @property
    def spectra(self) -> Spectra | None:
        """The spectra that the model learned from; None of several models or where unknown.

        Neither are those of bands that the model does not see.
        """
        domain = domain_of(self._models[0].provenance) if len(self._models) == 1 else None
        spectra = None if domain is None else domain.spectra
        seen = {name for names in self.bands.values() for name in names}
        return spectra if spectra is not None and seen >= set(spectra.bands) else None

    @property
    def origin(self) -> dict[str, str]:
        """What made a map, for ``LandCoverMap.model``."""
        counts = {"models": len(self._models), "views of each patch": len(self._turns)}
        averaged = ", ".join(f"{count} {of}" for of, count in counts.items() if count > 1)
        return {
            "name": " + ".join(m.name for m in self._models),
            "sha256": " ".join(m.sha256 for m in self._models),
            **({AVERAGED: averaged} if averaged else {}),
        }

    def offsets(self, by_band: Mapping[str, int]) -> list[tuple[Tensor, ...]]:
        """``BOA_ADD_OFFSET`` as ``prepare`` takes it: those of the bands of each model."""
        return [
            tuple(
                torch.tensor([by_band[b] for b in names], dtype=torch.int32, device=self.device)
                for names in model.net.bands.values()
            )
            for model in self._models
        ]

    def _prepare(self, model: Model) -> torch.nn.Module:
        # values that never change need no copy, and mapping proxies cannot be copied
        kept = {id(value): value for value in (model.net.bands, model.net.normalisation)}
        net = fold_batch_norm(copy.deepcopy(model.net, kept).eval())
        net = net.to(self.device)
        if self.device.type != "mps":
            net = net.to(memory_format=torch.channels_last)
        return net

    @torch.inference_mode()
    def prepare(
        self, dn: Mapping[int, NDArray[np.uint16]], offsets: Sequence[Sequence[Tensor]]
    ) -> list[NetworkStrip]:
        """What each network sees of a strip: radiometry and normalisation, once for all patches.

        Args:
            dn: resolution → uint16 (bands, rows, columns), the bands in ``bands``.
            offsets: what ``offsets`` gives.
        """
        strips: list[NetworkStrip] = [
            tuple(
                torch.empty((len(names), *dn[r].shape[1:]), device=self.device)
                for r, names in net.bands.items()
            )
            for net in self._nets
        ]
        finest, coarsest = min(self.bands), max(self.bands)
        height, step = dn[finest].shape[1] * finest, math.ceil(_LINES / coarsest) * coarsest
        # some lines at a time: what is in between stays in the processor's cache
        for top in range(0, height, step):
            lines = {r: slice(top // r, (top + step) // r) for r in self.bands}
            groups = {r: to_device(dn[r][:, at], self.device)[None] for r, at in lines.items()}
            for net, strip, own in zip(self._nets, strips, offsets, strict=True):
                seen = [_chosen(groups[r], self.bands[r], names) for r, names in net.bands.items()]
                parts = net.preprocess(*seen, offsets=own)
                for resolution, whole, part in zip(net.bands, strip, parts, strict=True):
                    whole[:, lines[resolution]] = part[0]
        return strips

    @torch.inference_mode()
    def probabilities(
        self,
        strips: Sequence[NetworkStrip],
        lefts: Sequence[int],
        shifts: Shifts | None = None,
    ) -> NDArray[np.float32]:
        """float32 (patches, classes) of the patches that start ``lefts`` metres from the left.

        ``shifts``: of the patches' places, by ``shifts``.
        """
        total = torch.zeros(len(lefts), len(self.classes), device=self.device)
        for classifier, model, order, strip, shift in zip(
            self._classifiers, self._models, self._orders, strips, self._of(shifts), strict=True
        ):
            patches = self._patches(model, strip, lefts)
            for turn in self._turns:
                logits = self._classify(classifier.classify, [turned(x, turn) for x in patches])
                total += model.probabilities(logits + shift)[:, order]
        total /= len(self._nets) * len(self._turns)
        result: NDArray[np.float32] = total.cpu().numpy()
        return result

    @torch.inference_mode()
    def shared_probabilities(
        self,
        strips: Sequence[NetworkStrip],
        tops: Sequence[int],
        lefts: Sequence[int],
        shifts: Shifts | None = None,
    ) -> NDArray[np.float32]:
        """float32 (rows, columns, classes) of overlapping patches, by ``SharedTrunk``.

        Args:
            strips: of ``prepare``, as tall as all the patches together.
            tops: where rows of patches start, metres from the strips' top.
            lefts: where columns of patches start, metres from the strips' left.
            shifts: (rows, columns, classes) each, by ``shifts``.
        """
        left, right = lefts[0], lefts[-1] + self.patch_size
        offsets = [at - left for at in lefts]
        total = torch.zeros(len(tops), len(lefts), len(self.classes), device=self.device)
        for trunk, model, order, strip, shift in zip(
            self._trunks, self._models, self._orders, strips, self._of(shifts), strict=True
        ):
            groups = [
                x[:, :, left // r : right // r] for x, r in zip(strip, model.net.bands, strict=True)
            ]
            logits = self._finite(partial(trunk.logits, groups, tops, offsets))
            total += model.probabilities(logits + shift)[..., order]
        result: NDArray[np.float32] = (total / len(self._trunks)).cpu().numpy()
        return result

    def _of(self, shifts: Shifts | None) -> list[Any]:
        """``shifts`` on the device, 0 for none."""
        if shifts is None:
            return [0.0] * len(self._models)
        return [torch.from_numpy(shift).float().to(self.device) for shift in shifts]

    def _patches(self, model: Model, strip: NetworkStrip, lefts: Sequence[int]) -> list[Tensor]:
        """(N, bands, pixels, pixels) of each resolution of a model, of patches of its strip."""
        return [self._cut(x, r, lefts) for x, r in zip(strip, model.net.bands, strict=True)]

    def _cut(self, x: Tensor, resolution: int, lefts: Sequence[int]) -> Tensor:
        side = self.patch_size // resolution
        starts = [left // resolution for left in lefts]
        return torch.stack([x[:, :, start : start + side] for start in starts])

    def _classify(self, classify: Callable[..., Tensor], patches: list[Tensor]) -> Tensor:
        try:
            return self._finite(partial(classify, *patches))
        except torch.OutOfMemoryError:
            count = len(patches[0])
            if count == 1:
                raise
        # outside the handler, which would keep the failed tensors alive
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        half = count // 2
        _LOG.warning("out of GPU memory at %d patches: trying %d", count, half)
        parts = [[x[:half] for x in patches], [x[half:] for x in patches]]
        return torch.cat([self._classify(classify, part) for part in parts])

    def _finite(self, logits: Callable[[], Tensor]) -> Tensor:
        """``logits()`` in the type chosen, or in float32 where that cannot hold a value.

        What float32 cannot hold either is NaN: of infinity, a probability would be made.
        """
        with autocast(self._dtype, self.device):
            found = logits().float()
        if self._dtype is not None and not bool(torch.isfinite(found).all()):
            _LOG.warning("a value is too large for %s: in float32 again", self._dtype)
            found = logits()
        if not bool(torch.isfinite(found).all()):
            self.overflows = True
            return torch.where(torch.isfinite(found), found, torch.nan)
        return found


def _union(all_bands: Sequence[Mapping[int, tuple[str, ...]]]) -> dict[int, tuple[str, ...]]:
    """The bands of several networks, each once."""
    found: dict[int, dict[str, None]] = {}
    for bands in all_bands:
        for resolution, names in bands.items():
            found.setdefault(resolution, {}).update(dict.fromkeys(names))
    return {resolution: tuple(found[resolution]) for resolution in sorted(found)}


def _chosen(group: Tensor, names: tuple[str, ...], wanted: tuple[str, ...]) -> Tensor:
    """The ``wanted`` bands of a group (N, bands, …) of ``names``."""
    return group if names == wanted else group[:, [names.index(name) for name in wanted]]


def inference_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that convolutions run in, None for float32.

    "auto" is fp16 on CUDA and float32 elsewhere. Of the two half types fp16 is the closer one, by
    seven to ten times (docs/mapping.md): weights and normalised bands need its digits, and not
    the range of bf16. Should a value be too large for it, ``Ensemble`` computes that batch again.
    Training, whose gradients need the range, takes bf16.
    """
    if precision == "auto":
        return torch.float16 if device.type == "cuda" else None
    return _TYPES[precision]


def to_device(dn: NDArray[np.uint16], device: torch.device) -> Tensor:
    """Digital numbers as int32: two bytes each on their way to a GPU, widened there."""
    if device.type == "cpu":
        return torch.from_numpy(dn.astype(np.int32))
    return widened(torch.from_numpy(dn.view(np.int16)).to(device))


def widened(bits: Tensor) -> Tensor:
    """int32 of uint16 that were taken for int16, which every device knows."""
    return bits.to(torch.int32).bitwise_and_(0xFFFF)
