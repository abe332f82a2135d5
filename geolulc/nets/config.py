"""The settings of a network, each with its reason. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from geolulc.errors import ParameterError
from geolulc.validated import STRICT, Validated

_Rate = Annotated[float, Field(ge=0, lt=1)]

#: The backbone that is no network of timm's: a random forest of pixels (``nets/forest.py``).
FOREST: Final = "forest"
#: Backbone of Dynamic World's layers (``nets/half_resolution.py``) → channels of its stem, of its
#: block a, of b and c, and of the branch beside them.
HALF_RESOLUTION: Final[Mapping[str, tuple[int, int, int, int]]] = MappingProxyType(
    {"dynamicworld": (64, 96, 144, 48), "dynamicworld_small": (32, 64, 96, 32)}
)
#: The fusion that is Dynamic World's published network, and resolution → its bands.
DYNAMIC_WORLD: Final = "dynamicworld"
DYNAMIC_WORLD_BANDS: Final[Mapping[int, tuple[str, ...]]] = MappingProxyType(
    {10: ("B02", "B03", "B04", "B08"), 20: ("B05", "B06", "B07", "B11", "B12")}
)
#: Settings that a forest knows, those of training among them.
_OF_A_FOREST: Final = ("task", "backbone", "bands", "select", "seed", "workers")


@dataclass(frozen=True, config=STRICT)
class NetConfig(Validated):
    """Architecture of a network.

    Attributes:
        task: "patch" (which classes are present), "fraction" (how much of the patch each class
            covers; the fractions add up to 1) or "pixel" (one class for every pixel of 10 m: a
            decoder follows the trunk).
        fusion: how the three resolutions meet: "early" (all bands at 120 × 120 from the start),
            "intermediate" (20 m and 60 m bands join inside the trunk) or "late" (one encoder a
            resolution); "dynamicworld" is the published network, which goes on learning
            from its weights.
        backbone: a timm architecture name without a weight tag; of pixels also the layers of
            Dynamic World's network for any bands and classes, "dynamicworld" or
            "dynamicworld_small"; or "forest": a random forest of the pixels, in place of a network.
        attention: "cbam" puts the block of Woo et al. (2018) on the last feature map.
        label_correlation: "on" lets the co-occurrence of labels refine the logits; "sets" lets
            the sets of labels do it that patches have (``nets/label_sets.py``).
        drop_rate: dropout before the head.
        drop_path_rate: stochastic depth, for backbones that have it.
        upsampling: how early fusion brings 20 m and 60 m bands to the images' size, "bilinear"
            or "nearest" (as ConfigILM's models were trained).
        trunk: "whole" backbone, or "shallow" for stores of few patches: early fusion on the stages
            up to stride 8, with mean and deviation over the patch before the head.
        reflectance: "linear", or "log": its logarithm (``Normalisation.of``), to which
            dark ground and the same ground in less light are no further away than bright ground.
        image_size: side of the images in pixels that the 10 m bands (of early fusion: all) are
            brought to, those of coarser encoders in proportion; 0 for 120, or the next size
            that the backbone's tokens or strides divide.
        pixel_classes: so many classes of every pixel, as of the task "pixel", stand between the
            bands and the head of a patch, which sees mean and deviation of their probabilities:
            of ``pretrained`` models of pixels, their number of classes; 0 for none.

    Raises:
        ParameterError: an option is not one of its values, a rate is outside 0..1, or two
            options exclude each other.
    """

    task: Literal["patch", "fraction", "pixel"] = "patch"

    fusion: Literal["early", "intermediate", "late", "dynamicworld"] = "early"
    backbone: str = "resnet18"
    attention: Literal["none", "cbam"] = "none"
    label_correlation: Literal["off", "on", "sets"] = "off"
    drop_rate: _Rate = 0.0
    drop_path_rate: _Rate = 0.0
    upsampling: Literal["bilinear", "nearest"] = "bilinear"
    trunk: Literal["whole", "shallow"] = "whole"
    reflectance: Literal["linear", "log"] = "linear"
    image_size: Annotated[int, Field(ge=0, le=256)] = 0
    pixel_classes: Annotated[int, Field(ge=0, le=255)] = 0

    @model_validator(mode="after")
    def _require_network(self) -> Self:
        if self.trunk == "shallow" and self.fusion != "early":
            raise ParameterError(
                "trunk",
                found=f"shallow with fusion {self.fusion}",
                expected="fusion early",
                remedy="Use the whole trunk or early fusion.",
            )
        if 0 < self.image_size < 32:
            raise ParameterError(
                "image_size",
                found=self.image_size,
                expected="0, or pixels from 32 to 256",
                remedy="0 takes the size that suits the backbone.",
            )
        if self.task != "patch" and self.label_correlation != "off":
            raise ParameterError(
                f"task {self.task}",
                found=f"label_correlation {self.label_correlation}",
                expected="off: it refines the labels of a patch, which several classes can have",
                remedy="Leave it out.",
            )
        if self.task == "pixel" and self.pixel_classes:
            raise ParameterError(
                "task pixel",
                found=f"{self.pixel_classes} pixel_classes",
                expected="0: those of its labels are learned",
                remedy="Leave it out.",
            )
        if (self.task == "pixel" or self.pixel_classes) and self.image_size:
            raise ParameterError(
                "task pixel" if self.task == "pixel" else "pixel_classes",
                found="an image_size",
                expected="none: pixels keep their size",
                remedy="Leave it out.",
            )
        if self.backbone == FOREST:
            self._require_forest()
        if self.backbone in HALF_RESOLUTION or self.fusion == DYNAMIC_WORLD:
            self._require_half_resolution()
        return self

    def _require_half_resolution(self) -> None:
        """Refuse what Dynamic World's layers do not have."""
        expected: dict[str, object] = {
            "fusion": "early",
            "trunk": "whole",
            "attention": "none",
            "drop_rate": 0.0,
            "drop_path_rate": 0.0,
        }
        if self.fusion == DYNAMIC_WORLD:
            expected |= {"fusion": DYNAMIC_WORLD, "backbone": DYNAMIC_WORLD}
            expected |= {"reflectance": "linear", "pixel_classes": 0}
        if not self.pixel_classes:
            expected["task"] = "pixel"
        for name, only in expected.items():
            if (found := getattr(self, name)) != only:
                raise ParameterError(
                    "fusion dynamicworld" if self.fusion == DYNAMIC_WORLD
                    else f"backbone {self.backbone}",
                    found=f"{name} {found!r}",
                    expected=f"{only!r}: its layers have no other",
                    remedy="Leave it out, or take another network.",
                )  # fmt: skip

    def _require_forest(self) -> None:
        """Refuse what a forest has no use for."""
        expected = {f.name: getattr(type(self), f.name) for f in fields(self)}
        for name in _OF_A_FOREST:
            expected[name] = getattr(self, name, None)
        for name, usual in (expected | {"task": "pixel"}).items():
            if (found := getattr(self, name, usual)) != usual:
                raise ParameterError(
                    f"backbone {FOREST}",
                    found=f"{name} {found!r}",
                    expected=f"{usual!r}: a forest has no other",
                    remedy="Leave it out, or take a network.",
                )
