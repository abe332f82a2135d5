"""How well a pixel model agrees with reference maps: one pass over a split, no map is kept.

The reference of BigEarthNet is CORINE: units of 25 ha and more, drawn by people from images of
other days. What is smaller is not in it, and its borders are not exact to the pixel. The figures
are agreement with that map, not accuracy on the ground; near its borders they are given apart.
Own labels are as good as whoever drew them, and lie where they were drawn: no probability sample.

It shares its frame (``split_figures``) with ``evaluation``, but not its way to the figures: the
predictions of all pixels would not fit into memory, so that each batch is counted into confusion
matrices.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolulc.datasets import Store
from geolulc.learning.baseline import Baseline, score_forest
from geolulc.learning.intervals import intervals
from geolulc.learning.metrics import (
    CALIBRATION_BINS,
    bin_sums,
    calibration_of_bins,
    error_of_bins,
    macro,
)
from geolulc.learning.patches import SplitPatches
from geolulc.learning.pixel_losses import near_borders
from geolulc.learning.pixel_metrics import class_figures, overall_figures
from geolulc.learning.scoring import classify_patches, confusion_of
from geolulc.learning.split_figures import (
    ReferenceFigures,
    against_reference,
    class_order,
    patches_of_split,
)
from geolulc.learning.task_figures import BORDERS
from geolulc.nets import Model
from geolulc.nets.devices import autocast_type, choose_device
from geolulc.nomenclature import IGNORED
from geolulc.progress import Progress


@dataclass(frozen=True, kw_only=True)
class PixelEvaluation(ReferenceFigures):
    """Figures of a model of pixels, on the patches of a split that have a reference map.

    Attributes:
        pixels: those whose code has a class.
        ignored: share of the pixels whose code has none.
        figures: see ``pixel_metrics`` and ``BORDERS``.
        classes: name, support and mapped (pixels), iou, f1, precision, recall,
            ece and expected_observed (Σp/Σy) of each class.
        confusion: pixels by class of the reference (rows) and of the map, in the order of classes.
        agreement: patch name → share of its pixels with the class of the reference.
        baseline: a random forest on the same pixels; None where it was not asked for.
    """

    pixels: int
    ignored: float
    confusion: Sequence[Sequence[int]]
    agreement: Mapping[str, float]
    baseline: Baseline | None = None
    task: ClassVar[str] = "pixel"

    @property
    def facts(self) -> str:
        """How much was evaluated."""
        return f"{self.patches} patches, {self.pixels:,} pixels"

    @property
    def remarks(self) -> Sequence[str]:
        """The limits of the figures, and the pixels that they leave out."""
        beside = () if self.baseline is None else (self.baseline.verdict(self.figures),)
        return (
            *super().remarks,
            *beside,
            f"{100 * self.ignored:.1f} % of the pixels have no label, or a code without a class, "
            "and are not counted. A border is where the class of the reference changes; "
            "distances are from pixel centre to pixel centre.",
        )


def evaluate_pixels(
    model: Model,
    store: Store,
    split: str = "val",
    *,
    indices: NDArray[np.int64] | None = None,
    baseline: bool = False,
    device: str = "auto",
    batch_size: int = 32,
    workers: int = 2,
    progress: Progress | None = None,
) -> PixelEvaluation:
    """All figures of a pixel ``model`` on the patches of a split that have a reference map.

    Args:
        model: of pixels.
        store: of the patches.
        split: "train", "val" or "test".
        indices: positions in the store in place of the whole split.
        baseline: score a random forest beside it, that learns from the store's train split.
        device: where it runs.
        batch_size: patches at once.
        workers: threads that read.
        progress: called with (patches done, patches in all).

    Raises:
        DatasetError: the split has no patch or no reference map, or the store's classes are not
            the model's.
    """
    patches = patches_of_split(store, split, indices, masks=True)
    place = choose_device(device)
    tally = _Tally(model, patches, place)
    for mapped in map_patches(model, patches, place, batch_size=batch_size, workers=workers):
        tally.add(mapped)
        if progress is not None:
            progress(tally.done, len(patches))
    evaluation = tally.evaluation()
    if not baseline:
        return evaluation
    learned = patches_of_split(store, "train", masks=True)
    return replace(evaluation, baseline=score_forest(learned, patches, model.net.bands))


@dataclass(frozen=True)
class MappedPatches:
    """Some patches of a split with their references and maps.

    Attributes:
        places: int64 (N,), their places in the split.
        truth: int64 (N, 120, 120), positions in the model's classes; 255 where there is none.
        mapped: int64 (N, 120, 120), the most probable class.
        confidence: float32 (N, 120, 120), its calibrated probability.
        probabilities: float32 (N, C, 120, 120), those of all classes.
    """

    places: NDArray[np.int64]
    truth: Tensor
    mapped: Tensor
    confidence: Tensor
    probabilities: Tensor


def map_patches(
    model: Model,
    patches: SplitPatches,
    device: torch.device,
    *,
    batch_size: int = 32,
    workers: int = 0,
) -> Iterator[MappedPatches]:
    """Yield ``MappedPatches`` of all ``patches`` (with masks), in their order."""
    # the store's positions → the model's: by name
    order = torch.full((256,), IGNORED, dtype=torch.int64)
    order[class_order(model, patches.store)] = torch.arange(len(model.net.classes))
    order = order.to(device)
    for places, truth, logits in classify_patches(
        model.net.to(device),
        patches,
        device=device,
        dtype=autocast_type("auto", device),
        batch_size=batch_size,
        workers=workers,
    ):
        probabilities = model.probabilities(logits)
        confidence, mapped = probabilities.max(dim=1)
        yield MappedPatches(places, order[truth.long()], mapped, confidence, probabilities)


class _Tally:
    """Confusion matrices by group and distance from a border, and the other sums of a pass."""

    def __init__(self, model: Model, patches: SplitPatches, device: torch.device) -> None:
        self.done = 0
        self._model, self._patches, self._device = model, patches, device
        self._classes = len(model.net.classes)
        self._matrices: defaultdict[tuple[str, str], NDArray[np.int64]] = defaultdict(
            lambda: np.zeros((self._classes, self._classes), np.int64)
        )
        self._groups = patches.groups | {"cluster": patches.clusters}
        self._bins = np.zeros((3, CALIBRATION_BINS))
        self._bins_by_class = np.zeros((3, CALIBRATION_BINS, self._classes))
        self._agreement = np.full(len(patches), np.nan)

    def add(self, found: MappedPatches) -> None:
        """Count some patches."""
        truth, mapped = found.truth, found.mapped
        known = truth != IGNORED
        self._count(("all", ""), mapped, truth)
        for metres in BORDERS:
            near = near_borders(truth, metres, self._patches.store.layout.pixel)
            self._count(("near", str(metres)), mapped, truth.masked_fill(~near, IGNORED))
        for kind, names in self._groups.items():
            own = names[found.places]
            for name in sorted({*own.tolist()} - {""}):
                rows = torch.from_numpy(own == name).to(self._device)
                self._count((kind, name), mapped[rows], truth[rows])
        hits = known & (mapped == truth)
        counts = known.sum(dim=(1, 2))
        share = hits.sum(dim=(1, 2)).double() / counts  # NaN for a patch without a class
        self._agreement[found.places] = share.cpu().numpy()
        self._bins += bin_sums(*(x[known].cpu().numpy() for x in (hits, found.confidence)))
        of_known = found.probabilities.movedim(1, 0)[:, known].cpu().numpy()
        labels = truth[known].cpu().numpy()
        for c, p in enumerate(of_known):
            self._bins_by_class[:, :, c] += bin_sums(labels == c, p)
        self.done += len(found.places)

    def _count(self, key: tuple[str, str], mapped: Tensor, truth: Tensor) -> None:
        self._matrices[key] += confusion_of(mapped, truth, self._classes).cpu().numpy()

    def evaluation(self) -> PixelEvaluation:
        """The evaluation of all patches that were counted."""
        model, patches = self._model, self._patches
        layout = patches.store.layout
        confusion = self._matrices["all", ""]
        calibration = calibration_of_bins(self._bins_by_class)
        pixels = int(confusion.sum())
        clusters = [self._matrices[key] for key in sorted(self._matrices) if key[0] == "cluster"]

        def resampled(weights: NDArray[np.float64]) -> dict[str, float]:
            # whole times whole numbers
            return overall_figures(np.tensordot(weights.astype(np.int64), np.array(clusters), 1))

        return PixelEvaluation(
            **against_reference(model, patches, class_figures(confusion) | calibration),
            pixels=pixels,
            ignored=1 - pixels / (len(patches) * math.prod(layout.reference_shape)),
            figures={
                **overall_figures(confusion),
                **self._border_figures(confusion),
                "ece": error_of_bins(self._bins),
                "ece_classes": macro(calibration["ece"]),
            },
            confusion=confusion.tolist(),
            countries=self._by_group("country"),
            seasons=self._by_group("season"),
            clusters=len(clusters),
            intervals=intervals(resampled, len(clusters)),
            agreement={patches.key(p): float(v) for p, v in enumerate(self._agreement)},
        )

    def _border_figures(self, confusion: NDArray[np.int64]) -> dict[str, float]:
        figures, total = {}, max(int(confusion.sum()), 1)
        for metres in BORDERS:
            near = self._matrices["near", str(metres)]
            inside = overall_figures(confusion - near)
            figures[f"share_within_{metres}m"] = float(near.sum() / total)
            figures[f"agreement_within_{metres}m"] = overall_figures(near)["agreement"]
            figures[f"agreement_beyond_{metres}m"] = inside["agreement"]
            figures[f"miou_beyond_{metres}m"] = inside["miou"]
        return figures

    def _by_group(self, kind: str) -> dict[str, dict[str, float]]:
        found = {}
        for name in sorted(n for k, n in self._matrices if k == kind):
            confusion = self._matrices[kind, name]
            counts = {
                "patches": float((self._groups[kind] == name).sum()),
                "pixels": float(confusion.sum()),
            }
            found[name] = counts | overall_figures(confusion)
        return found
