"""timm's backbones, opened up: built for any number of bands at the size of a patch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

import timm
import torch
from timm.layers import PatchEmbed
from torch import nn

from geolulc.errors import ParameterError

#: Side of a patch on the 10 m grid, in pixels.
PATCH_PIXELS: Final = 120


@dataclass(frozen=True)
class Backbone:
    """A timm model and the side in pixels of the square images it takes."""

    model: Any
    image_size: int


@cache
def backbone_names() -> frozenset[str]:
    """timm's architecture names."""
    return frozenset(timm.list_models())


def require_backbone(name: str) -> None:
    """``ParameterError`` unless ``name`` is an architecture of the installed timm.

    Nothing but such a name ever reaches timm: it also takes names that load from a hub or folder.
    """
    if name not in backbone_names():
        near = get_close_matches(name, sorted(backbone_names()), n=3, cutoff=0.5)
        raise ParameterError(
            f"backbone {name!r}",
            found="no such architecture in timm " + timm.__version__,
            expected="a timm architecture"
            + (f" (nearest: {', '.join(near)})" if near else " such as resnet18"),
            remedy="Use a name of timm.list_models(), without a weight tag.",
        )


def open_backbone(
    name: str,
    *,
    in_chans: int,
    num_classes: int,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    pixels: int = PATCH_PIXELS,
    exact: bool = False,
    deepest: int = 0,
) -> Backbone:
    """A timm model for images of ``pixels`` × ``pixels``, or a few more.

    A patch is enlarged rather than losing its edge. Models that fix their image size (ViT, Mixer,
    Swin …) are built for the next size that their tokens divide (128 for tokens of 16 pixels);
    others whose strides do not pad (ConvNeXt, DenseNet) take the next multiple of their total
    stride, up to ``deepest`` where no more of them is used. With ``exact`` the size stays.

    Raises:
        ParameterError: no such architecture, or it cannot be built so.
    """
    require_backbone(name)
    options: dict[str, Any] = {"in_chans": in_chans, "num_classes": num_classes}
    # not every architecture knows these: ask only for what is wanted
    if drop_rate:
        options["drop_rate"] = drop_rate
    if drop_path_rate:
        options["drop_path_rate"] = drop_path_rate
    model, fixed = _create(name, options, pixels)
    size = pixels
    if fixed and not exact and (token := _token_size(model)) and pixels % token:
        size = token * math.ceil(pixels / token)
        model, _ = _create(name, options, size)
    elif not fixed and not exact:
        size = enlarged_side(model, pixels, deepest)
    return Backbone(model, size)


def enlarged_side(model: Any, pixels: int, deepest: int = 0) -> int:
    """``pixels``, or the next multiple of the total stride of a ``model`` that cuts squares.

    ``deepest`` is the stride that is used, 0 for the whole model.
    """
    if not cuts_squares(model):
        return pixels
    stride = deepest or max((entry["reduction"] for entry in model.feature_info), default=1)
    return math.ceil(pixels / stride) * stride


def cuts_squares(model: nn.Module) -> bool:
    """Whether strides of ``model`` cut its input into squares, leaving a remainder out.

    So do kernels that are padded by less than their stride would need: ConvNeXt's of 2 × 2 leave
    out the last of 15 rows. Subclasses of torch's layers pad in ways of their own.
    """
    for module in model.modules():
        if type(module) not in (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d):
            continue
        kernel, stride, padding = (
            max(value) if isinstance(value := getattr(module, name), tuple) else int(value)
            for name in ("kernel_size", "stride", "padding")
        )
        # a kernel smaller than its stride samples; what it skips others see
        if kernel >= stride > padding + 1 and not getattr(module, "ceil_mode", False):
            return True
    return False


@cache
def enlarges(name: str) -> bool:
    """Whether images are enlarged for the strides of this architecture."""
    with torch.device("meta"):
        model, fixed = _create(name, {}, PATCH_PIXELS)
    return not fixed and cuts_squares(model)


def _create(name: str, options: dict[str, Any], size: int) -> tuple[Any, bool]:
    """The model, and whether its image size is fixed."""
    try:
        return timm.create_model(name, img_size=size, **options), True
    except TypeError as error:
        if "img_size" not in str(error):
            raise _refusal(name, error) from error
    except Exception as error:
        raise _refusal(name, error) from error
    try:
        return timm.create_model(name, **options), False
    except Exception as error:
        raise _refusal(name, error) from error


def _refusal(name: str, error: Exception) -> ParameterError:
    return ParameterError(
        f"backbone {name}",
        found=f"timm cannot build it so: {error}",
        expected=f"a backbone for images of {PATCH_PIXELS} × {PATCH_PIXELS} pixels",
        remedy="Use another backbone, or leave out what it does not know (drop path, for example).",
    )


def _token_size(model: nn.Module) -> int:
    """Pixels a side of a token, 0 for a model without."""
    sizes = [max(m.patch_size) for m in model.modules() if isinstance(m, PatchEmbed)]
    return max(sizes, default=0)
