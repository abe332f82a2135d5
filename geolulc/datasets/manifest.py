"""What stands in a store's manifest.json: one schema, checked value by value when it is read."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from geolulc.datasets.legend import ReferenceCodes
from geolulc.grid import PATCH_SIZE
from geolulc.validated import explain

FORMAT: Final = "geolulc-store"
FORMAT_VERSION: Final = 1

_LARGEST: Final = 1 << 62
_Count = Annotated[int, Field(ge=0, le=_LARGEST)]
_Counts = dict[str, _Count]
# numbers are numbers and finite; what later versions add is passed over
_CHECKED: Final = ConfigDict(strict=True, allow_inf_nan=False)


@dataclass(frozen=True, config=_CHECKED)
class _Archive:
    dataset: str
    name: str
    origin: dict[str, str]


@dataclass(frozen=True, config=_CHECKED)
class _Patches:
    total: Annotated[int, Field(ge=1, le=_LARGEST)]
    by_split: _Counts
    by_country: _Counts
    by_season: _Counts
    by_dataset: _Counts
    without_class: _Count
    with_reference_map: _Count
    shared_ground: _Counts


@dataclass(frozen=True, config=_CHECKED)
class _Frequencies:
    train: list[_Count]


@dataclass(frozen=True, config=_CHECKED)
class _Classes:
    names: list[str]
    frequencies: _Frequencies


@dataclass(frozen=True, config=_CHECKED)
class _Statistics:
    mean: float | None
    std: float | None
    minimum: float | None
    maximum: float | None
    percentiles: dict[Annotated[str, Field(pattern=r"^\d{1,3}$")], float | None]
    pixels: _Count
    nodata_pixels: _Count


@dataclass(frozen=True, config=_CHECKED)
class _Shard:
    name: str
    bytes: _Count
    md5: str


@dataclass(frozen=True, config=_CHECKED)
class _Index:
    sha256: str


@dataclass(frozen=True, config=_CHECKED)
class _Manifest:
    format: Literal["geolulc-store"]
    nomenclature: str | dict[str, Any]
    archives: list[_Archive]
    patches: _Patches
    left_out: _Counts
    broken: list[dict[str, str]]
    classes: _Classes
    train_statistics: dict[str, _Statistics]
    shards: list[_Shard]
    index: _Index
    # of BigEarthNet where older stores do not say it
    reference_codes: ReferenceCodes = "corine"
    level: Literal["L1C", "L2A"] = "L2A"
    sensor: dict[str, Any] | None = None
    patch_size: Annotated[int, Field(ge=1, le=_LARGEST)] = PATCH_SIZE
    labelling: dict[str, Any] | None = None


_READER: Final = TypeAdapter(_Manifest)


def find_fault(text: bytes) -> str | None:
    """What is wrong first in a manifest; None for one that is sound."""
    try:
        checked = _READER.validate_json(text)
    except ValidationError as error:
        subject, found, expected = explain(error, _Manifest)
        return f"{subject}: {found}, not {expected}"
    classes = checked.classes
    if len(classes.frequencies.train) != len(classes.names):
        return f"frequencies of {len(classes.frequencies.train)} classes, not {len(classes.names)}"
    return None
