"""Which network: a few names and numbers, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any, Final

from geolulc.errors import ParameterError

#: What a network says: the classes present in a patch, or the class of every pixel of 10 m.
TASKS: Final = ("patch", "pixel")
#: How the three resolutions meet; the first is the default.
FUSIONS: Final = ("early", "intermediate", "late")
#: Attention on the last feature map.
ATTENTIONS: Final = ("none", "cbam")
#: Whether label co-occurrence refines the logits.
LABEL_CORRELATIONS: Final = ("off", "on")
#: How much of the backbone early fusion uses.
TRUNKS: Final = ("whole", "shallow")
#: How coarser bands are brought to the size of the images.
UPSAMPLINGS: Final = ("bilinear", "nearest")


@dataclass(frozen=True)
class NetConfig:
    """Architecture of a network.

    Attributes:
        fusion: "early" (all bands at 120 × 120 from the start), "intermediate" (20 m and 60 m
            bands join inside the trunk) or "late" (one encoder a resolution).
        backbone: a timm architecture name without a weight tag.
        attention: "cbam" puts the block of Woo et al. (2018) on the last feature map.
        label_correlation: "on" lets the co-occurrence of labels refine the logits.
        drop_rate: dropout before the head.
        drop_path_rate: stochastic depth, for backbones that have it.
        upsampling: how early fusion brings 20 m and 60 m bands to the images' size, "bilinear"
            or "nearest" (as ConfigILM's models were trained).
        trunk: "whole" backbone, or "shallow" for stores of few patches: early fusion on the stages
            up to stride 8, with mean and deviation over the patch before the head.
        image_size: side of the images of early fusion in pixels; 0 for 120, or the next size
            that the backbone's tokens divide.
        task: "patch" (which classes are present) or "pixel" (one class for every pixel of 10 m:
            a decoder follows the trunk).

    Raises:
        ParameterError: an option is not one of its values or a rate is outside 0..1.
    """

    fusion: str = "early"
    backbone: str = "resnet18"
    attention: str = "none"
    label_correlation: str = "off"
    drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    upsampling: str = "bilinear"
    trunk: str = "whole"
    image_size: int = 0
    task: str = "patch"

    def __post_init__(self) -> None:
        _require_choice("task", self.task, TASKS)
        _require_choice("fusion", self.fusion, FUSIONS)
        _require_choice("attention", self.attention, ATTENTIONS)
        _require_choice("label_correlation", self.label_correlation, LABEL_CORRELATIONS)
        _require_choice("upsampling", self.upsampling, UPSAMPLINGS)
        _require_choice("trunk", self.trunk, TRUNKS)
        if self.trunk == "shallow" and self.fusion != "early":
            raise ParameterError(
                "trunk",
                found=f"shallow with fusion {self.fusion}",
                expected="fusion early",
                remedy="Use the whole trunk or early fusion.",
            )
        if type(self.image_size) is not int or not (
            self.image_size == 0 or 32 <= self.image_size <= 256
        ):
            raise ParameterError(
                "image_size",
                found=repr(self.image_size),
                expected="0, or pixels from 32 to 256",
                remedy="0 takes the size that suits the backbone.",
            )
        if self.task == "pixel" and (self.image_size or self.label_correlation == "on"):
            raise ParameterError(
                "task pixel",
                found="an image_size" if self.image_size else "label_correlation on",
                expected="neither: pixels keep their size, and have one class each",
                remedy="Leave it out.",
            )
        if not isinstance(self.backbone, str):
            raise ParameterError(
                "backbone",
                found=repr(self.backbone),
                expected="the name of a timm architecture",
                remedy="Use a name such as resnet18.",
            )
        for name in ("drop_rate", "drop_path_rate"):
            rate = getattr(self, name)
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
                raise ParameterError(
                    name,
                    found=repr(rate),
                    expected="a number from 0 to below 1",
                    remedy="0 turns it off.",
                )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> NetConfig:
        """A config from parsed TOML or JSON; ``ParameterError`` for a key it does not have."""
        known = [f.name for f in fields(cls)]
        for key in values:
            if key not in known:
                near = get_close_matches(str(key), known, n=1, cutoff=0.0)
                raise ParameterError(
                    f"network option {key!r}",
                    found="no such option",
                    expected=f"one of {', '.join(known)} (nearest: {near[0]})",
                    remedy="Correct the name.",
                )
        return cls(**values)

    def as_mapping(self) -> dict[str, Any]:
        """The config as a JSON-able dictionary."""
        return asdict(self)


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ParameterError(
            name,
            found=repr(value),
            expected=f"one of {', '.join(choices)}",
            remedy="Use one of these.",
        )
