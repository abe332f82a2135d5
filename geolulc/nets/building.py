"""From a config to a network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geolulc.bands import GROUPS, SENTINEL2, Sensor
from geolulc.datasets.patch import BIGEARTHNET, PatchLayout
from geolulc.errors import ParameterError
from geolulc.grid import PATCH_SIZE
from geolulc.nets.backbones import PATCH_PIXELS, enlarges
from geolulc.nets.config import DYNAMIC_WORLD, FOREST, NetConfig
from geolulc.nets.dynamic_world import DynamicWorldFusion, require_dynamic_world
from geolulc.nets.early import EarlyFusion
from geolulc.nets.forest import ForestFusion, forest_sizes
from geolulc.nets.geographic_prior import GeographicPrior
from geolulc.nets.intermediate import IntermediateFusion
from geolulc.nets.label_correlation import LabelCorrelation
from geolulc.nets.label_sets import LabelSets
from geolulc.nets.late import LateFusion
from geolulc.nets.network import LandCoverNet
from geolulc.nets.normalisation import Normalisation
from geolulc.nets.pixel_classes import PixelClassesFusion
from geolulc.nets.pixel_fusions import PixelFusion, build_pixel_fusion
from geolulc.nets.pretrained import start_from
from geolulc.nets.published_dynamic_world import start_from_dynamic_world
from geolulc.nets.shallow import ShallowFusion
from geolulc.nomenclature import Nomenclature

#: Where the resolutions meet, with all that follows.
Fusion = (
    EarlyFusion
    | ShallowFusion
    | IntermediateFusion
    | LateFusion
    | PixelFusion
    | PixelClassesFusion
    | DynamicWorldFusion
    | ForestFusion
)


def build_net(
    config: NetConfig,
    *,
    classes: Sequence[str],
    nomenclature: Nomenclature | str,
    normalisation: Normalisation,
    bands: Mapping[int, tuple[str, ...]] = GROUPS,
    sensor: Sensor = SENTINEL2,
    patch_size: int = PATCH_SIZE,
    level: str = "L2A",
    cooccurrence: NDArray[np.float64] | None = None,
    label_sets: LabelSets | None = None,
    geographic_prior: GeographicPrior | None = None,
    pretrained: Path | str | None = None,
    seed: int | None = None,
) -> LandCoverNet:
    """A network with fresh weights, in training mode, on the CPU.

    Args:
        config: the architecture.
        classes: class names, in the order of the logits.
        nomenclature: the classes of these names, or the ``id`` of a built-in nomenclature.
        normalisation: mean and std of each band, of the train split.
        bands: resolution → names of the bands that the network sees.
        sensor: whose bands they are.
        patch_size: side of a patch on the ground, in metres.
        level: processing level of the products that it is trained on: "L1C" or "L2A".
        cooccurrence: (C, C), share of the train patches that carry both classes ``i`` and ``j``
            (diagonal: that carry ``i``), ``targets.T @ targets / len(targets)``; needed by label
            correlation "on".
        label_sets: the layer of known sets of labels; needed by label correlation "sets".
        geographic_prior: shifts of the logits by place; None for none.
        pretrained: a local file of timm, TorchGeo or geolulc weights to start the encoders (and
            decoders) from, or "torchgeo:NAME" for a published one; the last layer starts fresh.
            A network with ``pixel_classes`` takes a model of pixels with all its layers; the
            fusion "dynamicworld" a checkpoint of it, by default the published one, and of the same
            classes its last layer too.
        seed: makes the weights repeatable; the global random state stays as it was.

    Raises:
        ParameterError: the config cannot be built.
        CheckpointError: ``pretrained`` cannot be used.
    """
    with _seeded(seed):
        patches = PatchLayout(sensor, patch_size)
        fusion = build_fusion(config, bands, len(classes), patches, level=level)
    initialisation: dict[str, Any] = {}
    if isinstance(fusion, DynamicWorldFusion):
        initialisation = start_from_dynamic_world(fusion, pretrained or DYNAMIC_WORLD, classes)
    elif pretrained is not None:
        pixels = fusion.pixels if isinstance(fusion, PixelClassesFusion) else fusion
        head = pixels.head if isinstance(pixels, PixelFusion) else None
        initialisation = start_from(
            fusion.encoders(),
            pretrained,
            normalisation.of(config.reflectance, sensor.scale),
            head,
            reflectance=config.reflectance,
            whole_head=pixels is not fusion,
        )
    correlation: LabelCorrelation | LabelSets | None = None
    if config.label_correlation == "sets":
        correlation = _required_sets(label_sets, len(classes))
    elif config.label_correlation == "on":
        correlation = LabelCorrelation(len(classes))
        correlation.set_cooccurrence(_required(cooccurrence, len(classes)))
    return LandCoverNet(
        fusion,
        config=config,
        classes=classes,
        nomenclature=nomenclature,
        normalisation=normalisation,
        bands=bands,
        sensor=sensor,
        patch_size=patch_size,
        level=level,
        label_correlation=correlation,
        geographic_prior=geographic_prior,
        initialisation=initialisation,
    )


def build_fusion(
    config: NetConfig,
    bands: Mapping[int, tuple[str, ...]],
    num_classes: int,
    patches: PatchLayout = BIGEARTHNET,
    shapes: Mapping[str, Sequence[int]] = MappingProxyType({}),
    *,
    level: str = "L2A",
) -> Fusion:
    """The part that ``config.task`` and ``config.fusion`` name, for bands of ``patches``.

    Args:
        config: the architecture.
        bands: resolution → names of the bands that the network sees.
        num_classes: of the logits.
        patches: what it is trained on.
        shapes: of the tensors of a checkpoint, by name: a forest is as large as its file says.
        level: of the products that it sees.
    """
    if config.backbone == FOREST:
        return ForestFusion(bands, num_classes, patches, **forest_sizes(shapes))
    if config.fusion == DYNAMIC_WORLD:
        require_dynamic_world(bands)
        return DynamicWorldFusion(num_classes, level)
    if config.pixel_classes:
        return PixelClassesFusion(config, bands, num_classes, patches)
    if config.task == "pixel":
        return build_pixel_fusion(config, bands, num_classes, patches)
    if config.fusion == "intermediate":
        return IntermediateFusion(config, bands, num_classes, patches)
    if config.fusion == "late":
        return LateFusion(config, bands, num_classes, patches)
    if config.trunk == "shallow":
        return ShallowFusion(config, bands, num_classes, patches)
    return EarlyFusion(config, bands, num_classes, patches)


def as_before_enlarging(config: NetConfig) -> NetConfig:
    """``config`` of a network made when images were not enlarged for strides that cut squares.

    An image size that is said stays; only early fusion knew it.
    """
    if config.task == "pixel" or (config.fusion == "early" and config.image_size):
        return config
    own = PATCH_PIXELS if config.image_size or enlarges(config.backbone) else 0
    return replace(config, image_size=own)


def build_label_correlation(
    config: NetConfig, num_classes: int, shapes: Mapping[str, Sequence[int]]
) -> LabelCorrelation | LabelSets | None:
    """The part that refines logits by labels, None where it is off; ``shapes`` of a checkpoint."""
    if config.label_correlation == "sets":
        count = int(next(iter(shapes.get("label_correlation.log_shares", ())), 0))
        return LabelSets(count, num_classes)
    return LabelCorrelation(num_classes) if config.label_correlation == "on" else None


def build_geographic_prior(
    config: NetConfig, num_classes: int, shapes: Mapping[str, Sequence[int]]
) -> GeographicPrior | None:
    """The prior that a checkpoint with tensors of ``shapes`` has; None for none, and of pixels."""
    places = shapes.get("geographic_prior.places")
    if places is None or config.task != "patch":
        return None
    return GeographicPrior(next(iter(places), 0), num_classes)


def _required(cooccurrence: NDArray[np.float64] | None, num_classes: int) -> NDArray[np.float64]:
    if cooccurrence is None or cooccurrence.shape != (num_classes, num_classes):
        raise ParameterError(
            "label correlation",
            found="no co-occurrence" if cooccurrence is None else f"one of {cooccurrence.shape}",
            expected=f"the co-occurrence of the train split, ({num_classes}, {num_classes})",
            remedy="Train on a store with labels, or turn label correlation off.",
        )
    return cooccurrence


def _required_sets(label_sets: LabelSets | None, num_classes: int) -> LabelSets:
    if label_sets is None or label_sets.sets.shape[1] != num_classes:
        raise ParameterError(
            "label correlation",
            found="no sets of labels" if label_sets is None else "sets of other classes",
            expected=f"sets of labels of {num_classes} classes",
            remedy="Train on a store with labels, or turn label correlation off.",
        )
    return label_sets


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
