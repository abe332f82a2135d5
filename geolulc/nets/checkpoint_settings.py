"""The text in a checkpoint: what rebuilds the network, by name, checked value by value."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from geolulc.bands import GROUPS, RESOLUTIONS
from geolulc.errors import CheckpointError, GeolulcError
from geolulc.nets.config import NetConfig
from geolulc.nets.model import Model
from geolulc.nets.normalisation import Normalisation
from geolulc.nomenclature import nomenclature

#: Key of the text in the metadata of a safetensors file.
METADATA_KEY: Final = "geolulc"
#: Version of the format; a reader refuses a higher one.
FORMAT_VERSION: Final = 1
#: Side of a patch on the ground, in metres: the only size there are networks for.
PATCH_SIZE: Final = 1200


@dataclass(frozen=True)
class Settings:
    """What the metadata of a checkpoint says; ``thresholds`` by class name."""

    name: str
    config: NetConfig
    bands: Mapping[int, tuple[str, ...]]
    patch_size: int
    nomenclature: str
    classes: tuple[str, ...]
    normalisation: Normalisation
    thresholds: Mapping[str, float]
    temperature: float
    provenance: Mapping[str, Any]
    initialisation: Mapping[str, Any]


def settings_of(model: Model) -> dict[str, Any]:
    """JSON-able settings of a model: what ``parse_settings`` reads back."""
    net = model.net
    return {
        "version": FORMAT_VERSION,
        "name": model.name,
        "config": net.config.as_mapping(),
        "bands": {str(r): list(names) for r, names in net.bands.items()},
        "patch_size": net.patch_size,
        "nomenclature": net.nomenclature,
        "classes": list(net.classes),
        "normalisation": {
            "mean": {k: float(v) for k, v in net.normalisation.mean.items()},
            "std": {k: float(v) for k, v in net.normalisation.std.items()},
        },
        "thresholds": {c: float(t) for c, t in zip(net.classes, model.thresholds, strict=True)},
        "temperature": float(model.temperature),
        "provenance": dict(model.provenance),
        "initialisation": dict(net.initialisation),
    }


def parse_settings(text: str) -> Settings:
    """Settings from the metadata of a checkpoint; ``CheckpointError`` for any that is not sound."""
    if not text:
        raise _unsound("metadata", "nothing of geolulc", "the metadata that geolulc writes")
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _unsound("metadata", f"a damaged text ({error})", "JSON") from error
    values = _mapping(values, "metadata")
    version = values.get("version")
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise CheckpointError(
            "format version",
            found=repr(version),
            expected=f"1 to {FORMAT_VERSION}",
            remedy="Update geolulc: the file is from a newer version.",
        )
    try:
        classes = _classes(values)
        return Settings(
            name=_text(values, "name"),
            config=NetConfig.from_mapping(_mapping(values.get("config"), "config")),
            bands=_bands(values.get("bands")),
            patch_size=_patch_size(values.get("patch_size")),
            nomenclature=_text(values, "nomenclature"),
            classes=classes,
            normalisation=_normalisation(values.get("normalisation")),
            thresholds=_thresholds(values.get("thresholds"), classes),
            temperature=_temperature(values.get("temperature")),
            provenance=_mapping(values.get("provenance"), "provenance"),
            initialisation=_mapping(values.get("initialisation", {}), "initialisation"),
        )
    except GeolulcError:
        raise
    except (TypeError, ValueError, KeyError) as error:
        raise _unsound("metadata", f"unsound values ({error})", "what geolulc writes") from error


def _classes(values: Mapping[str, Any]) -> tuple[str, ...]:
    known = nomenclature(_text(values, "nomenclature"))
    names = values.get("classes")
    if not isinstance(names, list) or not names or len(set(map(str, names))) != len(names):
        raise _unsound("classes", _shown(names), f"class names of {known.id}, each once")
    return tuple(known[str(name)].name for name in names)


def _bands(value: object) -> dict[int, tuple[str, ...]]:
    groups = _mapping(value, "bands")
    bands = {}
    for resolution in RESOLUTIONS:
        names = groups.get(str(resolution))
        allowed = GROUPS[resolution]
        if (
            not isinstance(names, list)
            or len(set(map(str, names))) != len(names)
            or not set(map(str, names)) <= set(allowed)
        ):
            raise _unsound(f"bands of {resolution} m", _shown(names), ", ".join(allowed))
        bands[resolution] = tuple(names)
    if not any(bands.values()):
        raise _unsound("bands", "none", "at least one band")
    return bands


def _normalisation(value: object) -> Normalisation:
    parts = _mapping(value, "normalisation")
    return Normalisation(
        mean=_mapping(parts.get("mean"), "normalisation mean"),
        std=_mapping(parts.get("std"), "normalisation std"),
    )


def _thresholds(value: object, classes: tuple[str, ...]) -> dict[str, float]:
    thresholds = _mapping(value, "thresholds")
    if set(thresholds) != set(classes):
        raise _unsound("thresholds", f"{len(thresholds)} names", "each class once")
    for name, threshold in thresholds.items():
        if not _is_number(threshold) or not 0 <= threshold <= 1:
            raise _unsound(f"threshold of {name}", _shown(threshold), "a number in 0..1")
    return {name: float(t) for name, t in thresholds.items()}


def _temperature(value: object) -> float:
    if not _is_number(value) or not isinstance(value, int | float) or value <= 0:
        raise _unsound("temperature", _shown(value), "a number above 0")
    return float(value)


def _patch_size(value: object) -> int:
    if value != PATCH_SIZE or not isinstance(value, int):
        raise _unsound("patch size", _shown(value), f"{PATCH_SIZE} metres")
    return value


def _mapping(value: object, subject: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _unsound(subject, _shown(value), "a JSON object")
    return value


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str):
        raise _unsound(key, _shown(value), "a text")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 120 else text[:119] + "…"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _unsound(subject: str, found: object, expected: object) -> CheckpointError:
    return CheckpointError(
        subject,
        found=found,
        expected=expected,
        remedy="The file is damaged or was made by something else; train or download it again.",
    )
