"""The settings of a training run: few, each with its reason. No torch here."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from geolulc.bands import Sensor
from geolulc.errors import ParameterError
from geolulc.nets.config import DYNAMIC_WORLD, DYNAMIC_WORLD_BANDS, NetConfig
from geolulc.staging import write_text
from geolulc.text_files import TextFiles
from geolulc.validated import STRICT

_FILES: Final = TextFiles(
    ParameterError,
    "TOML, one setting a line (key = value)",
    "Correct the file, or give another one; examples/ has some.",
    most=1 << 20,
)
# settings without a meaning for other tasks
_ONLY_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "loss": ("patch",),
    "label_correlation": ("patch",),
    "geographic_prior": ("patch",),
    "mixup": ("patch",),
    "pixel_classes": ("patch", "fraction"),
    "image_size": ("patch", "fraction"),
    "threshold_beta": ("patch", "fraction"),
    # fractions that are trained towards other shares than the reference's are no areas
    "class_weights": ("patch", "pixel"),
    "label_smoothing": ("patch", "pixel"),
    "pixel_loss": ("pixel",),
    "patch_loss": ("pixel",),
    "ignore_border": ("pixel",),
    "crop": ("pixel",),
    "teacher": ("pixel",),
    "teacher_store": ("pixel",),
}
# what a teacher's probabilities leave no place for
_NOT_TAUGHT: Final = (
    *("pixel_loss", "patch_loss", "ignore_border"),
    *("class_weights", "label_smoothing"),
)


@dataclass(frozen=True, config=STRICT)
class TrainConfig(NetConfig):
    """The settings of a training run. The defaults train from scratch; 0 turns a setting off.

    Network:
        task, fusion, backbone, attention, label_correlation, drop_rate, drop_path_rate,
            upsampling, trunk, image_size, pixel_classes: as in ``geolulc.nets.NetConfig``; the
            tasks "fraction" and "pixel" need a store with reference maps.
        pretrained: what to start the encoders from: a local file of weights, the name of a shipped
            model, or "torchgeo:NAME"; "" for none.
        label_sets: with label_correlation "sets", a file of the labels of many patches, the
            ``metadata.parquet`` of BigEarthNet v2: its train split, weighed so that countries have
            the shares of the run's train patches; "" for the labels of these patches alone.
        geographic_prior: such a file: figures and maps shift logits to the class frequencies of
            its train split near each patch (``nets/geographic_prior.py``); "" for none.
        bands: names of the bands that the network sees, separated by commas; "" for all.

    Optimisation:
        epochs: passes over the train split.
        steps: so many optimiser steps in place of ``epochs``, in whole passes: what a network
            learns follows from its steps, and a small split has few in a pass. 0: ``epochs``.
        batch_size: patches an optimiser step, over all processes and accumulated parts.
        accumulate: parts a batch is computed in, where it does not fit the memory at once; batch
            statistics are then those of the parts.
        optimizer: "adamw", or "sgd" (Nesterov momentum 0.9).
        learning_rate: the highest one; it warms up linearly and falls to 0 along a cosine.
        trunk_rate: learning rate of the encoders as a share of that of what is fresh, for
            ``pretrained`` ones: a high rate would undo them before the head knows anything.
        frozen_trunk: share of the run, from its start and in whole epochs, in which the encoders
            stay as they are, batch statistics included; 1 never trains them. What a fresh head
            asks of ``pretrained`` ones at first distorts them (Kumar et al. 2022).
        weight_decay: on weights of convolutions and linear layers only.
        warmup_epochs: length of the warm-up, in epochs; parts of one are fine.
        clip_norm: the gradient is shortened to this length.
        ema_decay: weights are averaged over steps with this decay (smaller in the first steps);
            the average is what is validated and kept.
        patience: stop after this many epochs without a better validation score.
        select: keep the "best" epoch by validation macro average precision (of pixels: mean
            intersection over union, of fractions: overlap with the reference), or the "last" one
            (where the validation split is too small to choose by).

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

    Teacher:
        teacher: a model of pixels (a checkpoint, or a name that ``geolulc models`` lists) whose
            probabilities are the targets, in place of labels; its classes are learned. "" for none.
        teacher_store: a store whose patches the teacher sees in place of those of the same ground:
            of Level-1C beside Level-2A, say; "" for none.
        teacher_views: changes of light in which the teacher sees each patch, the first of which is
            none: what it says of all of them is learned.

    Augmentation:
        d4: the eight flips and quarter turns of a patch.
        mixup: alpha of the Beta distribution two patches are blended by.
        spectral_jitter: standard deviation of a random gain and offset by patch and band, in
            standard deviations of the band.
        light_jitter: strength of a random change of light by patch: sun, haze and season, which
            change bands together (``learning/light.py``); 1 is what separates clear days, and less
            is enough for what is to keep its target.
        crop: side in the finest pixels, of whole coarsest ones (of Sentinel-2 a multiple of 6), of
            a random part of each patch that an epoch learns from: the pixels of a patch are alike,
            and more patches are worth more. Of a patch with few labels it holds one of them.
        band_dropout: share of the bands of a patch that are blanked (set to their mean), so that
            no class depends on one band alone.

    Run:
        threshold_beta: decision thresholds maximise F-beta on the validation split.
        precision: "auto" is bf16 (fp16 where the GPU lacks it) on CUDA and float32 elsewhere.
        seed: everything random follows from it.
        workers: threads that read patches ahead.

    Raises:
        ParameterError: a value of the wrong type, outside its range or not among its choices.
    """

    pretrained: str = ""
    bands: str = ""
    label_sets: str = ""
    geographic_prior: str = ""
    teacher: str = ""
    teacher_store: str = ""
    teacher_views: Annotated[int, Field(ge=1, le=256)] = 8

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    steps: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    accumulate: Annotated[int, Field(ge=1, le=10_000)] = 1
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(ge=1e-12, le=1e3)] = 1e-3
    trunk_rate: Annotated[float, Field(ge=0, le=1)] = 1.0
    frozen_trunk: Annotated[float, Field(ge=0, le=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.05
    warmup_epochs: Annotated[float, Field(ge=0, le=100_000)] = 1.0
    clip_norm: Annotated[float, Field(ge=0, le=1e9)] = 1.0
    ema_decay: Annotated[float, Field(ge=0, le=0.999999)] = 0.999
    patience: Annotated[int, Field(ge=0, le=100_000)] = 0
    select: Literal["best", "last"] = "best"

    loss: Literal["bce", "focal", "asl"] = "bce"
    class_weights: Literal["none", "balanced"] = "none"
    label_smoothing: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    pixel_loss: Literal["ce", "ce+dice"] = "ce"
    patch_loss: Annotated[float, Field(ge=0, le=100)] = 0.0
    ignore_border: Annotated[int, Field(ge=0, le=600)] = 0

    d4: bool = True
    mixup: Annotated[float, Field(ge=0, le=10)] = 0.0
    spectral_jitter: Annotated[float, Field(ge=0, le=2)] = 0.0
    light_jitter: Annotated[float, Field(ge=0, le=2)] = 0.0
    crop: Annotated[int, Field(ge=0)] = 0
    band_dropout: Annotated[float, Field(ge=0, le=0.9)] = 0.0

    threshold_beta: Annotated[float, Field(ge=0.1, le=10)] = 1.0
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    workers: Annotated[int, Field(ge=0, le=1024)] = 2

    @model_validator(mode="after")
    def _require_run(self) -> Self:
        for name, tasks in _ONLY_OF.items():
            if self.task not in tasks and getattr(self, name) != getattr(TrainConfig, name):
                raise ParameterError(
                    name,
                    found=f"{getattr(self, name)!r} with the task {self.task}",
                    expected=f"{getattr(TrainConfig, name)!r}: it has no meaning there",
                    remedy=f"Leave it out, or choose the task {' or '.join(tasks)}.",
                )
        for name in _NOT_TAUGHT if self.teacher else ():
            if getattr(self, name) != getattr(TrainConfig, name):
                raise ParameterError(
                    name,
                    found=f"{getattr(self, name)!r} with a teacher",
                    expected=f"{getattr(TrainConfig, name)!r}: its probabilities are learned",
                    remedy="Leave it out, or train on labels.",
                )
        if self.label_sets and self.label_correlation != "sets":
            raise ParameterError(
                "label_sets",
                found=f"a file with label_correlation {self.label_correlation}",
                expected="label_correlation sets, which uses it",
                remedy="Leave it out, or set label_correlation=sets.",
            )
        if self.batch_size % self.accumulate:
            raise ParameterError(
                "accumulate",
                found=f"{self.accumulate} parts of a batch of {self.batch_size}",
                expected="a divisor of batch_size",
                remedy="Change one of the two.",
            )
        return self

    def names(self, sensor: Sensor) -> tuple[str, ...]:
        """Names of the bands that the network sees; ``ParameterError`` for one of no band."""
        names = [name.strip() for name in self.bands.split(",") if name.strip()]
        if not names and self.fusion == DYNAMIC_WORLD:
            names = [name for group in DYNAMIC_WORLD_BANDS.values() for name in group]
        return tuple(sensor.band(name).name for name in names) or sensor.names

    @property
    def masks(self) -> bool:
        """Whether it is learned from reference maps, not from labels."""
        return self.task != "patch"

    def changed(self, values: Mapping[str, Any]) -> TrainConfig:
        """A copy with other ``values``; ``ParameterError`` for a wrong one."""
        return replace(self, **values)

    def as_toml(self) -> str:
        """Every setting as TOML."""
        # strings, numbers and true/false of JSON are those of TOML
        return "".join(
            f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in self.as_mapping().items()
        )


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a TOML file: differences from the defaults.

    Raises:
        ParameterError: no such file, not TOML, or an unknown key.
    """
    try:
        values = tomllib.loads(_FILES.text(path))
    except (ValueError, RecursionError) as error:
        raise _FILES.unusable(path, str(error)) from None
    try:
        TrainConfig.require_known(values)
    except ParameterError as error:
        raise error.within(path) from None
    return values


def parse_setting(text: str) -> tuple[str, Any]:
    """Name and value of ``key=value``, as ``--set`` has it; the value is TOML, or plain text."""
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals:
        raise ParameterError(
            f"--set {text}",
            found="no equals sign",
            expected="key=value",
            remedy="Write for example --set mixup=0.2.",
        )
    TrainConfig.require_known([key])
    if isinstance(getattr(TrainConfig, key), str):
        return key, value.strip("\"'")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return key, value


def write_config(config: TrainConfig, path: Path) -> None:
    """Write every setting to ``path`` as TOML; ``OutputError`` where that fails."""
    write_text(path, config.as_toml())
