"""Cautions: what the readers of a map should know of it, in sentences.

``cautions`` makes them, once, when a map is written. They stand in the tag ``CAUTIONS`` of every
raster, and from there or from here on the terminal, in ``geolulc info``, in ``--json``, at the
foot of the picture, in the report and in the STAC Item.
"""

from __future__ import annotations

import calendar
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from geolulc.domain import KEY, TrainingDomain, read_domain
from geolulc.maps.header import AVERAGED, PRIOR, MapHeader
from geolulc.maps.ranking import frequency_entropy
from geolulc.maps.tally import MapFigures
from geolulc.maps.unit import MapUnit
from geolulc.safe_texts import one_line

#: The tag that holds the cautions of a map.
TAG: Final = "CAUTIONS"
#: BigEarthNet has some 270,000 training patches; a model of fewer than this has seen few places.
_FEW_PATCHES: Final = 10_000
_SOME: Final = 0.005
#: Mean entropy from which a model is called unsure: as a share of the highest, or of what class
#: frequencies alone would give. Choices.
_UNSURE: Final = 0.5
_UNINFORMED: Final = 0.75
#: Kinds of cautions on the model, which hold for a mosaic of its maps too.
_OF_MODEL: Final = frozenset(
    {"training", "classes", "place", "season", "spectra", "thresholds", "prior"}
)
#: Kilometres and months from the training at which a map is called far from it, and the share of
#: cells with spectra beyond the training's 99th percentile (1 % of the training is). Choices.
_FAR, _ANOTHER_SEASON, _UNLIKE = 200.0, 2, 0.05
#: So many countries are named.
_MOST_NAMED: Final = 4


@dataclass(frozen=True, slots=True)
class Caution:
    """A caution: its ``kind`` in one word, which several maps can share, and its ``text``."""

    kind: str
    text: str


def cautions(
    header: MapHeader,
    figures: MapFigures,
    model: Mapping[str, Any] | None,
    inherited: Sequence[Caution] = (),
) -> tuple[Caution, ...]:
    """Cautions on missing data, clouds, doubt and the model's training; () where all is well.

    Args:
        header: the map.
        figures: of all its cells.
        model: the description by ``geolulc.nets.describe_model``, if the model is known.
        inherited: of the maps that a mosaic was made of, instead of a model.
    """
    return (
        *_of_nodata(figures, header.unit),
        *_of_clouds(header, figures),
        *_of_doubt(header, figures),
        *(inherited or _on_model(header, figures, model)),
    )


def cautions_tag(found: Sequence[Caution]) -> str:
    """The value of ``TAG``: JSON that ``cautions_of`` reads back."""
    return json.dumps([asdict(caution) for caution in found], ensure_ascii=False)


def cautions_of(tags: Mapping[str, str]) -> tuple[Caution, ...]:
    """The cautions in the tags of a raster; () of an older map.

    Raises:
        KeyError, ValueError, TypeError: the tag is not of geolulc's making.
    """
    return tuple(Caution(str(c["kind"]), str(c["text"])) for c in json.loads(tags.get(TAG, "[]")))


def inherited_cautions(maps: Iterable[Sequence[Caution]]) -> tuple[Caution, ...]:
    """The cautions of ``maps`` that hold for a mosaic of them: those on the models, one a kind."""
    kinds: dict[str, dict[str, None]] = {}
    for caution in (c for found in maps for c in found if c.kind in _OF_MODEL):
        kinds.setdefault(caution.kind, {})[caution.text] = None
    return tuple(Caution(kind, _first_of(list(texts))) for kind, texts in kinds.items())


def _first_of(texts: Sequence[str]) -> str:
    others = len(texts) - 1
    return texts[0] + (f" (The maps of this mosaic say {others} more such things.)" * bool(others))


def change_cautions(
    before: tuple[MapHeader, Sequence[Caution]], after: tuple[MapHeader, Sequence[Caution]]
) -> tuple[Caution, ...]:
    """Cautions on a comparison of two maps: what is no change in it, and those of both maps.

    The shares are measured: the Laos scene of the tests in cells of 240 m, by the shipped model
    and by another training run on the same patches (docs/outputs.md#two-maps).
    """
    (old, of_old), (new, of_new) = before, after
    name = old.scene.get("name")
    if name and name == new.scene.get("name"):
        text = "Both maps are of one scene: nothing that differs is change on the ground."
    else:
        text = "Part of this is no change on the ground: two maps of one scene differ as well."
    if not old.exclusive:
        text += (
            " Exact and shared overlap alone gave 11.8 % of a scene another most probable class, "
            "another training of the model 37.4 %."
        )
    found = [Caution("noise", text), *(c for c in of_old if c in of_new)]
    for side, mine, others in (("Before", of_old, of_new), ("After", of_new, of_old)):
        found += [Caution(c.kind, f"{side}: {c.text}") for c in mine if c not in others]
    return tuple(found)


def _of_nodata(figures: MapFigures, unit: MapUnit) -> list[Caution]:
    if not figures.mapped:
        return [Caution("nodata", f"No {unit.one} of this map has data.")]
    missing = 1 - (figures.mapped + figures.clouded) / figures.cells
    if missing < _SOME:
        return []
    text = f"{missing:.1%} of the {unit.many} have no data: {unit.missing}."
    return [Caution("nodata", text)]


def _of_clouds(header: MapHeader, figures: MapFigures) -> list[Caution]:
    unit = header.unit.many
    unknown = "the scene classification was not used or is absent"
    own = header.scene.get("clouds")
    if figures.clear is None:
        if header.masked_scl:  # pixels that are not clear have no data
            return [Caution("clouds", f"Clouds are {own}.")] if own else []
        return [Caution("clouds", f"Clouds are unknown: {unknown}.")]
    text = [f"Clouds are {own}."] if own else []
    seen = figures.mapped + figures.clouded
    if seen and figures.clouded / seen >= _SOME:
        hidden = figures.clouded / seen
        mostly = "The scene is mostly cloud: " if hidden > 0.5 else ""
        text.append(
            f"{mostly}{hidden:.1%} of the {unit} have no data, because less than "
            f"{header.min_clear:.0%} of their ground is clear."
        )
    total, known = figures.clear_mapped
    if known < figures.mapped:
        share = 1 - known / figures.mapped
        text.append(f"Clouds are unknown in {share:.1%} of the mapped {unit}: {unknown}.")
    covered = 1 - total / known if known else 0.0
    if covered >= _SOME:
        text.append(
            f"{covered:.1%} of the mapped ground is cloud, shadow or otherwise masked: what lies "
            "below is guessed."
        )
        if figures.half_clear:
            half = figures.half_clear / known
            text.append(f"{half:.1%} of the mapped {unit} are less than half clear.")
    return [Caution("clouds", " ".join(text))] if text else []


def _of_doubt(header: MapHeader, figures: MapFigures) -> list[Caution]:
    if header.fractions:  # a mixed cell is no doubt
        return []
    mean = figures.mean_entropy
    relative = frequency_entropy(header) is not None
    if mean < (_UNINFORMED if relative else _UNSURE):
        return []
    highest = f"{mean:.2f} of the highest possible"
    if not header.exclusive:
        highest = f"{mean:.2f} bit a class, and 1 would be a coin's toss"
    if relative:
        highest = f"{mean:.2f} times what the class frequencies of its training alone would give"
    return [Caution("doubt", f"The model is unsure: the mean entropy is {highest}.")]


def _on_model(
    header: MapHeader, figures: MapFigures, model: Mapping[str, Any] | None
) -> tuple[Caution, ...]:
    spectra, thresholds = _of_spectra(header, figures), _of_thresholds(header)
    return (*_of_training(header, model), *spectra, *thresholds, *_of_prior(header))


def _of_thresholds(header: MapHeader) -> list[Caution]:
    averaged = header.model.get(AVERAGED)
    if averaged is None or header.exclusive:
        return []
    text = (
        "Thresholds of presence were chosen for one model and one view of a patch, but the "
        f"{header.unit.values} are means ({averaged}): too few or too many may pass them."
    )
    return [Caution("thresholds", text)]


def _of_prior(header: MapHeader) -> list[Caution]:
    shifts = header.model.get(PRIOR)
    if shifts is None:
        return []
    longitude, latitude = header.grid.tile.centre
    text = (
        f"Not from the image alone: {header.unit.values} are shifted to how often labels near "
        f"{_degrees(latitude, 'NS')} {_degrees(longitude, 'EW')} have each class, most those of "
        f"{shifts} (logits). --no-geographic-prior leaves this out."
    )
    return [Caution("prior", text)]


def _degrees(value: float, signs: str) -> str:
    return f"{abs(value):.1f}° {signs[value < 0]}"


def _of_training(header: MapHeader, model: Mapping[str, Any] | None) -> list[Caution]:
    provenance = (model or {}).get("provenance", {})
    if not isinstance(provenance, Mapping) or "train_patches" not in provenance:
        text = "How the model was trained is not known."
        if isinstance(provenance, Mapping) and provenance.get("trained_on"):
            ground = one_line(str(provenance["trained_on"]))
            text = f"Others trained the model, on {ground}: how good it is here is not known."
        return [Caution("training", text)]
    domain = read_domain(model[KEY]) if model and model.get(KEY) else None
    found = [] if domain is None else [*_of_place(header, domain), *_of_season(header, domain)]
    if domain is None:
        found = [Caution("place", "Where and when the model learned is not recorded.")]
    patches = int(provenance["train_patches"])
    if patches < _FEW_PATCHES:
        found.append(Caution("training", _few(patches, provenance.get("teacher"))))
    positives = provenance.get("train_positives", {})
    if isinstance(positives, Mapping):
        unseen = [c for c in header.classes if positives.get(c) == 0]
        if unseen:
            text = f"The model saw no example of: {', '.join(unseen)}."
            found.append(Caution("classes", text))
    return found


def _few(patches: int, teacher: object) -> str:
    """What follows from few patches, with labels or with the answers of a ``teacher``."""
    expect = "expect errors, more so far from where these lie."
    if isinstance(teacher, Mapping) and teacher.get("name"):
        name = one_line(str(teacher["name"]))
        return (
            f"The model imitates {name}, errors included, as seen on {patches:,} patches: {expect}"
        )
    return (
        f"The model was trained on {patches:,} patches only, where BigEarthNet has some 270,000: "
        + expect
    )


def _of_place(header: MapHeader, domain: TrainingDomain) -> list[Caution]:
    longitude, latitude = header.grid.extent.centre
    apart = domain.distance(longitude, latitude)
    if apart is None or apart < _FAR:
        return []
    most = sorted(domain.countries, key=lambda name: -domain.countries[name])
    named = ", ".join(most[:_MOST_NAMED]) + (" and others" if most[_MOST_NAMED:] else "")
    where = f" ({named})" if named else ""
    text = (
        f"The map lies far outside the ground that the model learned from: {apart:,.0f} km from "
        f"the nearest of it{where}."
    )
    return [Caution("place", text)]


def _of_season(header: MapHeader, domain: TrainingDomain) -> list[Caution]:
    time = header.sensing_time
    if time is None:
        return []
    apart = domain.season_apart(time.month, header.grid.extent.centre[1])
    if apart < _ANOTHER_SEASON:
        return []
    learned = ", ".join(calendar.month_abbr[month] for month in sorted(domain.months))
    text = (
        f"The scene is of {time:%B}, {apart} months from the seasons that the model learned from "
        f"({learned})."
    )
    return [Caution("season", text)]


def _of_spectra(header: MapHeader, figures: MapFigures) -> list[Caution]:
    beyond, known = figures.unlike
    if not known or beyond / known < _UNLIKE:
        return []
    text = (
        f"{beyond / known:.1%} of the {header.unit.many} look unlike the training: their spectra "
        "lie beyond the 99th percentile of its own (1 % would)."
    )
    return [Caution("spectra", text)]
