"""timm's backbones, opened up: built for any number of bands at the size of a patch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

import timm
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
) -> Backbone:
    """A timm model for images of ``pixels`` × ``pixels``.

    Models that fix their image size (ViT, Mixer, Swin …) are built for ``pixels``, or, where their
    tokens do not divide it, for the next size that they do divide (128 for tokens of 16 pixels):
    a patch is resized to it rather than losing its edge; with ``exact`` the size stays.

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
    return Backbone(model, size)


def _create(name: str, options: dict[str, Any], size: int) -> tuple[nn.Module, bool]:
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
