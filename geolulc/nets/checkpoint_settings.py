"""The text in a checkpoint, which rebuilds the network; checked value by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import from_json

from geolulc.bands import GROUPS, RESOLUTIONS
from geolulc.datasets.ground import Ground
from geolulc.errors import CheckpointError
from geolulc.grid import PATCH_SIZE
from geolulc.nets.calibration import Calibration
from geolulc.nets.config import NetConfig
from geolulc.nets.model import Model
from geolulc.nets.normalisation import Normalisation
from geolulc.nomenclature import nomenclature
from geolulc.validated import explain

#: Key of the text in the metadata of a safetensors file.
METADATA_KEY: Final = "geolulc"
#: Version of the format; a reader refuses a higher one. Version 2 calibrates by class, and
#: enlarges images for strides that do not pad.
FORMAT_VERSION: Final = 2


@dataclass(frozen=True, config=ConfigDict(strict=True, allow_inf_nan=False))
class Settings:
    """The settings in the metadata of a checkpoint; by class name: thresholds, slopes, shifts.

    Raises:
        GeolulcError: a band, class or threshold that the network cannot have.
    """

    version: Annotated[int, Field(ge=1, le=FORMAT_VERSION)]
    name: str
    config: NetConfig
    bands: dict[int, tuple[str, ...]]
    patch_size: Annotated[int, Field(ge=PATCH_SIZE, le=PATCH_SIZE)]
    nomenclature: str
    classes: tuple[str, ...]
    normalisation: Normalisation
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]]
    temperature: Annotated[float, Field(gt=0)]
    provenance: dict[str, Any]
    slopes: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    shifts: dict[str, float] = Field(default_factory=dict)
    training_ground: dict[str, str] = Field(default_factory=dict)
    initialisation: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _require_network(self) -> Self:
        for resolution in RESOLUTIONS:
            names, allowed = self.bands.get(resolution), GROUPS[resolution]
            if names is None or len(set(names)) != len(names) or not set(names) <= set(allowed):
                raise _unsound(f"bands of {resolution} m", names, ", ".join(allowed))
        if not any(self.bands.values()):
            raise _unsound("bands", "none", "at least one band")
        known = nomenclature(self.nomenclature)
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise _unsound("classes", self.classes, f"class names of {known.id}, each once")
        for name in self.classes:
            known[name]  # is a class
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
        "nomenclature": net.nomenclature,
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
    }


def by_class(classes: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """``values`` by class name, {} for ()."""
    return {c: float(v) for c, v in zip(classes, values, strict=True)} if values else {}


def parse_settings(text: str) -> Settings:
    """Settings from the metadata of a checkpoint; ``GeolulcError`` for any that is not sound."""
    if not text:
        raise _unsound("metadata", "nothing of geolulc", "the metadata that geolulc writes")
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise _unsound("metadata", f"a damaged text ({error})", "JSON") from None
    try:
        return _READER.validate_json(text)
    except ValidationError as error:
        subject, found, expected = explain(error, Settings)
        if subject == "version":
            raise CheckpointError(
                "format version",
                found=found,
                expected=f"1 to {FORMAT_VERSION}",
                remedy="Update geolulc: the file is from a newer version.",
            ) from None
        raise _unsound(subject, found, expected) from None


def _unsound(subject: str, found: object, expected: str) -> CheckpointError:
    return CheckpointError(
        subject,
        found=found,
        expected=expected,
        remedy="The file is damaged or was made by something else; train or download it again.",
    )
