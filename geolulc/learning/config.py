"""What a training run is told: few settings, each with its reason. No torch here."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from geolulc.errors import OutputError, ParameterError
from geolulc.staging import staged

FUSIONS: Final = ("early", "intermediate", "late")
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "fusion": FUSIONS,
    "attention": ("none", "cbam"),
    "label_correlation": ("off", "on"),
    "upsampling": ("bilinear", "nearest"),
    "trunk": ("whole", "shallow"),
    "task": ("patch", "pixel"),
    "optimizer": ("adamw", "sgd"),
    "loss": ("bce", "focal", "asl"),
    "pixel_loss": ("ce", "ce+dice"),
    "class_weights": ("none", "balanced"),
    "select": ("best", "last"),
    "precision": ("auto", "float32", "bf16", "fp16"),
}
# setting → (lowest, highest); both may be taken
_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "drop_rate": (0, 0.95),
    "drop_path_rate": (0, 0.95),
    "image_size": (0, 256),
    "epochs": (1, 100_000),
    "batch_size": (1, 1_000_000),
    "accumulate": (1, 10_000),
    "learning_rate": (1e-12, 1e3),
    "weight_decay": (0, 10),
    "warmup_epochs": (0, 100_000),
    "clip_norm": (0, 1e9),
    "ema_decay": (0, 0.999999),
    "label_smoothing": (0, 0.9),
    "patch_loss": (0, 100),
    "ignore_border": (0, 600),
    "mixup": (0, 10),
    "spectral_jitter": (0, 2),
    "band_dropout": (0, 0.9),
    "patience": (0, 100_000),
    "threshold_beta": (0.1, 10),
    "seed": (0, 2**31 - 1),
    "workers": (0, 1024),
}
# settings that say nothing for the other task
_ONLY_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "patch": ("loss", "label_correlation", "image_size", "mixup", "threshold_beta"),
    "pixel": ("pixel_loss", "patch_loss", "ignore_border"),
}


@dataclass(frozen=True)
class TrainConfig:
    """A training run. The defaults train BigEarthNet from scratch; 0 turns a thing off.

    Task:
        task: "patch" (which classes are present) or "pixel" (the class of every pixel of 10 m;
            needs a store with reference maps).

    Network:
        fusion, backbone, attention, label_correlation, drop_rate, drop_path_rate,
            upsampling, trunk, image_size: as in ``geolulc.nets.NetConfig``.
        pretrained: a local file of weights to start the encoders from; "" for none.

    Optimisation:
        epochs: passes over the train split.
        batch_size: patches an optimiser step, over all processes and accumulated parts.
        accumulate: parts a batch is computed in, where it does not fit the memory at once.
        optimizer: "adamw", or "sgd" (Nesterov momentum 0.9).
        learning_rate: the highest one; it warms up linearly and falls to 0 along a cosine.
        weight_decay: on weights of convolutions and linear layers only.
        warmup_epochs: length of the warm-up, in epochs; parts of one are fine.
        clip_norm: the gradient is shortened to this length.
        ema_decay: weights are averaged over steps with this decay (smaller in the first steps);
            the average is what is validated and kept.
        patience: stop after this many epochs without a better validation score.
        select: keep the "best" epoch by validation macro average precision (of pixels: mean
            intersection over union), or the "last" one (where the validation split is too small
            to choose by).

    Loss:
        loss: "bce", "focal" (Lin et al. 2017) or "asl" (asymmetric, Ridnik et al. 2021).
        class_weights: "balanced" gives positives (or pixels) of rare classes more weight.
        label_smoothing: share of a target that is moved to the class's frequency.

    Loss of pixels (in place of ``loss``):
        pixel_loss: "ce" (cross-entropy) or "ce+dice" (with the soft Dice loss of the classes that
            a patch has: small areas count as much as large ones).
        patch_loss: weight of a binary cross-entropy of the classes present in the patch.
        ignore_border: pixels so many metres from another class of the reference map, or nearer,
            are not learned from: a map of 25 ha units does not know borders to the pixel.

    Augmentation:
        d4: the eight flips and quarter turns of a patch.
        mixup: alpha of the Beta distribution two patches are blended by.
        spectral_jitter: standard deviation of a random gain and offset by patch and band, in
            standard deviations of the band.
        band_dropout: share of the bands of a patch that are blanked (set to their mean), so that
            no class hangs on one band.

    Run:
        threshold_beta: decision thresholds maximise F-beta on the validation split.
        precision: "auto" is bf16 (fp16 where the GPU lacks it) on CUDA and float32 elsewhere.
        seed: everything random follows from it.
        workers: threads that read patches ahead.

    Raises:
        ParameterError: a value of the wrong type, outside its range or not among its choices.
    """

    task: str = "patch"

    fusion: str = "early"
    backbone: str = "resnet18"
    attention: str = "none"
    label_correlation: str = "off"
    drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    upsampling: str = "bilinear"
    trunk: str = "whole"
    image_size: int = 0
    pretrained: str = ""

    epochs: int = 30
    batch_size: int = 64
    accumulate: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    patience: int = 0
    select: str = "best"

    loss: str = "bce"
    class_weights: str = "none"
    label_smoothing: float = 0.0
    pixel_loss: str = "ce"
    patch_loss: float = 0.0
    ignore_border: int = 0

    d4: bool = True
    mixup: float = 0.0
    spectral_jitter: float = 0.0
    band_dropout: float = 0.0

    threshold_beta: float = 1.0
    precision: str = "auto"
    seed: int = 0
    workers: int = 2

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _checked_type(field.name, getattr(self, field.name), type(field.default))
            object.__setattr__(self, field.name, value)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ParameterError(
                    name,
                    found=repr(getattr(self, name)),
                    expected=f"one of {', '.join(choices)}",
                    remedy="Use one of these.",
                )
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise ParameterError(
                    name,
                    found=repr(value),
                    expected=f"a number from {low:g} to {high:g}",
                    remedy="Give a value of this range.",
                )
        for name in _ONLY_OF["patch" if self.task == "pixel" else "pixel"]:
            if getattr(self, name) != getattr(TrainConfig, name):
                raise ParameterError(
                    name,
                    found=f"{getattr(self, name)!r} with the task {self.task}",
                    expected=f"{getattr(TrainConfig, name)!r}: it has no meaning there",
                    remedy="Leave it out, or choose the other task.",
                )
        if self.batch_size % self.accumulate:
            raise ParameterError(
                "accumulate",
                found=f"{self.accumulate} parts of a batch of {self.batch_size}",
                expected="a divisor of batch_size",
                remedy="Change one of the two.",
            )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainConfig:
        """The defaults with ``values`` in their place; ``ParameterError`` for an unknown key."""
        require_known(values)
        return cls(**values)

    def changed(self, values: Mapping[str, Any]) -> TrainConfig:
        """A copy with ``values`` in place; ``ParameterError`` for an unknown key."""
        require_known(values)
        return replace(self, **values)

    def as_mapping(self) -> dict[str, Any]:
        """Every setting, JSON-able, in the order of the definition."""
        return asdict(self)

    def as_toml(self) -> str:
        """Every setting as TOML."""
        # strings, numbers and true/false of JSON are those of TOML
        return "".join(f"{k} = {_toml_value(v)}\n" for k, v in self.as_mapping().items())


def require_known(values: Mapping[str, Any]) -> None:
    """``ParameterError`` with the nearest names unless every key is a setting."""
    known = [f.name for f in fields(TrainConfig)]
    for key in values:
        if key not in known:
            near = get_close_matches(str(key), known, n=3, cutoff=0.4) or known
            raise ParameterError(
                f"setting {key!r}",
                found="no such setting",
                expected=f"a known one, such as {', '.join(near)}",
                remedy="Correct the name.",
            )


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a TOML file: differences from the defaults.

    Raises:
        ParameterError: no such file, not TOML, or an unknown key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(
            path,
            found=error.strerror or "an error",
            expected="a TOML file of settings",
            remedy="Give the path of one; examples/ has some.",
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ParameterError(
            path,
            found=str(error),
            expected="TOML, one setting a line (key = value)",
            remedy="Correct the file.",
        ) from None
    try:
        require_known(values)
    except ParameterError as error:
        raise ParameterError(
            f"{path}: {error.subject}",
            found=error.found,
            expected=error.expected,
            remedy=error.remedy,
        ) from None
    return values


def parse_setting(text: str) -> tuple[str, Any]:
    """``key=value`` as of ``--set``: the value as TOML, or as plain text for a text setting."""
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals:
        raise ParameterError(
            f"--set {text}",
            found="no equals sign",
            expected="key=value",
            remedy="Write for example --set mixup=0.2.",
        )
    require_known({key: value})
    if isinstance(getattr(TrainConfig, key), str):
        return key, value.strip("\"'")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def write_config(config: TrainConfig, path: Path) -> None:
    """Write every setting to ``path`` as TOML; ``OutputError`` where that fails."""
    if path.is_dir():
        raise OutputError(
            path,
            found="a folder",
            expected="a file to write",
            remedy="Remove it or give another run folder.",
        )
    with staged([path], overwrite=True) as (partial,):
        partial.write_text(config.as_toml(), encoding="utf-8")


def _toml_value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _checked_type(name: str, value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is kind:
        return value
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    raise ParameterError(
        name,
        found=repr(value),
        expected=words[kind],
        remedy="Give a value of this kind.",
    )
