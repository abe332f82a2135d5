"""The text in a checkpoint, which rebuilds the network; checked value by value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
    with_config,
)
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError, from_json
from typing_extensions import TypedDict

from geolulc.bands import SENTINEL2, Sensor, sensor_of
from geolulc.datasets.ground import Ground
from geolulc.datasets.patch import PatchLayout
from geolulc.domain import domain_of
from geolulc.errors import CheckpointError
from geolulc.grid import PATCH_SIZE
from geolulc.nets.calibration import Calibration
from geolulc.nets.config import NetConfig
from geolulc.nets.model import Model
from geolulc.nets.normalisation import Normalisation
from geolulc.nets.safetensors_files import read_header
from geolulc.nomenclature import Nomenclature, nomenclature_of
from geolulc.validated import explain

#: Key of the text in the metadata of a safetensors file.
METADATA_KEY: Final = "geolulc"
#: Version of the format; a reader refuses a higher one. Version 2 calibrates by class, and
#: enlarges images for strides that do not pad; version 3 makes images smaller with antialiasing;
#: version 4 leaves patches of other sizes than BigEarthNet's their own number of pixels.
FORMAT_VERSION: Final = 4
#: Before this version, images of fewer pixels a side were made of every second or third pixel.
_THINNED: Final = (3, 60)
#: Before this version, patches of any size became images of 120 pixels.
_OWN_PIXELS: Final = 4
#: Characters of the text; those of a network of 43 classes have 20,000.
_LONGEST_TEXT: Final = 1_000_000
_DEEPEST: Final = 8
_LARGEST_PATCH: Final = 12_000
#: Whole numbers beyond are not those of all readers of JSON.
_LARGEST: Final = 2**53


def _require_plain(value: Any, depth: int = 0) -> Any:
    """JSON that every reader takes: it goes on into reports and STAC Items."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _require_plain(part, depth + 1)
    if (
        depth > _DEEPEST
        or (isinstance(value, int) and abs(value) > _LARGEST)
        or (isinstance(value, float) and not math.isfinite(value))
    ):
        text = "text, and numbers within ±2^53, in lists and mappings of at most {levels} levels"
        raise PydanticCustomError("plain", text, {"levels": _DEEPEST})
    return value


_Count = Annotated[int, Field(ge=0, le=_LARGEST)]


@with_config(ConfigDict(strict=True, extra="allow"))
class Provenance(TypedDict, total=False):
    """How a model came about; whatever else is told may be any plain JSON."""

    train_patches: _Count
    val_patches: _Count
    train_positives: dict[str, _Count]
    licence: str


@dataclass(frozen=True, config=ConfigDict(strict=True, allow_inf_nan=False))
class Settings:
    """The settings in the metadata of a checkpoint; by class name: thresholds, slopes, shifts.

    Raises:
        GeolulcError: a band, class or threshold that the network cannot have.
    """

    version: Annotated[int, Field(ge=1, le=FORMAT_VERSION)]
    name: Annotated[str, Field(max_length=255)]
    config: NetConfig
    bands: dict[int, tuple[str, ...]]
    patch_size: Annotated[int, Field(gt=0, le=_LARGEST_PATCH)]
    nomenclature: str | dict[str, Any]
    classes: tuple[str, ...]
    normalisation: Normalisation
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]]
    temperature: Annotated[float, Field(ge=1e-3, le=1e3)]
    provenance: Annotated[Provenance, AfterValidator(_require_plain)]
    initialisation: Annotated[dict[str, Any], AfterValidator(_require_plain)] = Field(
        default_factory=dict
    )
    slopes: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    shifts: dict[str, float] = Field(default_factory=dict)
    training_ground: dict[str, str] = Field(default_factory=dict)
    level: Literal["L1C", "L2A"] = "L2A"
    sensor: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _require_network(self) -> Self:
        groups = self.seen_by.groups
        before, size = _THINNED
        if self.version < before and 0 < self.config.image_size < size:
            raise CheckpointError(
                "image_size",
                found=f"{self.config.image_size} pixels, in format version {self.version}",
                expected=f"{size} or more: smaller images were made without antialiasing",
                remedy="Train again with this version of geolulc.",
            )
        if self.version < _OWN_PIXELS and self.patch_size != PATCH_SIZE:
            raise CheckpointError(
                "patch_size",
                found=f"{self.patch_size} m, in format version {self.version}",
                expected=f"{PATCH_SIZE} m: others were enlarged to as many pixels",
                remedy="Train again with this version of geolulc.",
            )
        for resolution, names in self.bands.items():
            allowed = groups.get(resolution, ())
            if len(set(names)) != len(names) or not set(names) <= set(allowed):
                expected = ", ".join(allowed) or f"those of {', '.join(map(str, groups))} m"
                raise _unsound(f"bands of {resolution} m", names, expected)
        if not any(self.bands.values()):
            raise _unsound("bands", "none", "at least one band")
        # files of before have all resolutions, also those without bands
        kept = {r: self.bands[r] for r in sorted(self.bands) if self.bands[r]}
        object.__setattr__(self, "bands", kept)
        if self.patch_size % max(kept):
            raise _unsound("patch_size", self.patch_size, f"a multiple of {max(kept)}")
        self.normalisation.require(name for names in self.bands.values() for name in names)
        known = self.land_cover
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise _unsound("classes", self.classes, f"class names of {known.id}, each once")
        for name in self.classes:
            known[name]  # is a class
        domain_of(self.provenance)  # is sound
        by_class = {"thresholds": self.thresholds, "slopes": self.slopes, "shifts": self.shifts}
        for name, values in by_class.items():
            if set(values) != set(self.classes) and (values or name == "thresholds"):
                raise _unsound(name, f"{len(values)} names", "each class once")
        try:
            _ = self.ground
        except ValueError as error:
            raise _unsound("training_ground", str(error), "the positions of patches") from None
        return self

    @property
    def seen_by(self) -> Sensor:
        """The sensor whose bands the network sees."""
        return sensor_of(self.sensor)

    @property
    def layout(self) -> PatchLayout:
        """The patches that the network was trained on."""
        return PatchLayout(self.seen_by, self.patch_size)

    @property
    def ground(self) -> Ground:
        """The ground of the training patches."""
        return Ground.from_text(self.training_ground)

    @property
    def calibration(self) -> Calibration:
        """The calibration, in the order of the classes."""
        slopes, shifts = (
            tuple(values[name] for name in self.classes if values)
            for values in (self.slopes, self.shifts)
        )
        return Calibration(self.temperature, slopes, shifts)

    @property
    def land_cover(self) -> Nomenclature:
        """The nomenclature; older files have the ``id`` of a built-in one."""
        return nomenclature_of(self.nomenclature)


_READER: Final = TypeAdapter(Settings)


def settings_of(model: Model) -> dict[str, Any]:
    """JSON-able settings of a model: what ``parse_settings`` reads back."""
    net = model.net
    return {
        "version": FORMAT_VERSION,
        "name": model.name,
        "config": net.config.as_mapping(),
        "bands": {str(r): list(names) for r, names in net.bands.items()},
        "patch_size": net.patch_size,
        "nomenclature": net.nomenclature.as_mapping(),
        "classes": list(net.classes),
        "normalisation": {
            "mean": {k: float(v) for k, v in net.normalisation.mean.items()},
            "std": {k: float(v) for k, v in net.normalisation.std.items()},
        },
        "thresholds": by_class(net.classes, model.thresholds),
        "temperature": float(model.calibration.temperature),
        "slopes": by_class(net.classes, model.calibration.slopes),
        "shifts": by_class(net.classes, model.calibration.shifts),
        "training_ground": model.ground.as_text(),
        "provenance": dict(model.provenance),
        "initialisation": dict(net.initialisation),
        "level": net.level,
        # said of others than Sentinel-2
        **({} if net.sensor == SENTINEL2 else {"sensor": net.sensor.as_mapping()}),
    }


def by_class(classes: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """``values`` by class name, {} for ()."""
    return {c: float(v) for c, v in zip(classes, values, strict=True)} if values else {}


def parse_settings(text: str) -> Settings:
    """Settings from the metadata of a checkpoint; ``GeolulcError`` for any that is not sound."""
    if not text:
        raise _unsound("metadata", "nothing of geolulc", "the metadata that geolulc writes")
    if len(text) > _LONGEST_TEXT:
        expected = f"at most {_LONGEST_TEXT:,}"
        raise _unsound("metadata", f"{len(text):,} characters", expected)
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise _unsound("metadata", f"a damaged text ({error})", "JSON") from None
    try:
        return _READER.validate_json(text)
    except ValidationError as error:
        subject, found, expected = explain(error, Settings)
        newer = type(error.errors()[0]["input"]) is int and error.errors()[0]["input"] > 0
        if subject == "version" and newer:
            raise CheckpointError(
                "format version",
                found=found,
                expected=f"1 to {FORMAT_VERSION}",
                remedy="Update geolulc: the file is from a newer version.",
            ) from None
        subject = "format version" if subject == "version" else subject
        raise _unsound(subject, found, expected) from None


def find_settings(file: Path) -> Settings | None:
    """Settings of a checkpoint of geolulc; None for other files of weights."""
    if file.suffix != ".safetensors":
        return None
    text = read_header(file).metadata.get(METADATA_KEY)
    return None if text is None else parse_settings(text)


def _unsound(subject: str, found: object, expected: str) -> CheckpointError:
    return CheckpointError(
        subject,
        found=found,
        expected=expected,
        remedy="The file is damaged or was made by something else; train or download it again.",
    )
