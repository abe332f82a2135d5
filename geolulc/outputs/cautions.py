"""Warnings for the readers of a map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from geolulc.maps.header import MapHeader
from geolulc.maps.tally import MapFigures
from geolulc.maps.unit import MapUnit

#: BigEarthNet has some 270,000 training patches; a model of fewer than this has seen few places.
_FEW_PATCHES: Final = 10_000
_SOME: Final = 0.005
_UNSURE: Final = 0.5


def cautions(header: MapHeader, figures: MapFigures, model: Mapping[str, Any] | None) -> list[str]:
    """Sentences on missing data, clouds, doubt and the model's training; [] where all is well.

    Args:
        header: the map.
        figures: of all its cells.
        model: the description by ``geolulc.nets.describe_model``, if the model is known.
    """
    return [
        *_of_nodata(figures, header.unit),
        *_of_clouds(figures, header.unit),
        *_of_doubt(figures, exclusive=header.exclusive),
        *_of_training(header, model),
    ]


def _of_nodata(figures: MapFigures, unit: MapUnit) -> list[str]:
    if not figures.mapped:
        return [f"No {unit.one} of this map has data."]
    missing = 1 - figures.mapped / figures.cells
    if missing < _SOME:
        return []
    return [f"{missing:.1%} of the {unit.many} have no data: {unit.missing}."]


def _of_clouds(figures: MapFigures, unit: MapUnit) -> list[str]:
    if figures.clear is None:
        return ["Clouds are not known: the scene classification was not used or is absent."]
    total, known = figures.clear_mapped
    if not known or known < figures.mapped:
        return []
    covered = 1 - total / known
    if covered < _SOME:
        return []
    half = figures.half_clear / known
    cells = f" {half:.1%} of the mapped {unit.many} are less than half clear." if half else ""
    return [
        f"{covered:.1%} of the mapped ground is cloud, shadow or otherwise masked: what lies below "
        f"is guessed.{cells}"
    ]


def _of_doubt(figures: MapFigures, *, exclusive: bool) -> list[str]:
    if figures.mean_entropy < _UNSURE:
        return []
    highest = "the highest possible" if exclusive else "1 bit"
    return [f"The model is unsure: the mean entropy is {figures.mean_entropy:.2f} of {highest}."]


def _of_training(header: MapHeader, model: Mapping[str, Any] | None) -> list[str]:
    provenance = (model or {}).get("provenance", {})
    if not isinstance(provenance, Mapping) or "train_patches" not in provenance:
        return ["How the model was trained is not known."]
    found = []
    patches = int(provenance["train_patches"])
    if patches < _FEW_PATCHES:
        found.append(
            f"The model was trained on {patches:,} patches only, where BigEarthNet has some "
            "270,000: expect errors, more so far from where these lie."
        )
    positives = provenance.get("train_positives", {})
    if isinstance(positives, Mapping):
        unseen = [c for c in header.classes if positives.get(c) == 0]
        if unseen:
            found.append(f"The model saw no example of: {', '.join(unseen)}.")
    return found
