"""CBAM, the convolutional block attention module of Woo et al. (2018), on a feature map."""

from __future__ import annotations

from typing import Any, cast

from timm.layers.cbam import CbamModule
from torch import nn

from geolulc.errors import ParameterError
from geolulc.nets.config import NetConfig


def attention_block(config: NetConfig, model: Any, channels: int | None = None) -> nn.Module:
    """The block that ``config.attention`` names, for the last feature map of the timm ``model``.

    Args:
        config: its ``attention`` says which block.
        model: the backbone; its output must be a feature map (N, channels, rows, columns).
        channels: channels of the map, where they are not ``model.num_features``.

    Raises:
        ParameterError: the backbone's output is no such map (a ViT's tokens).
    """
    if config.attention == "none":
        return nn.Identity()
    # timm marks models that do not give (N, C, H, W) by what they flatten or by output_fmt
    if getattr(model, "output_fmt", "NCHW") != "NCHW" or not _has_stages(model):
        raise ParameterError(
            f"attention cbam on {config.backbone}",
            found="a backbone whose output is not a map of channels × rows × columns",
            expected="a convolutional backbone",
            remedy="Use attention none, or a backbone such as resnet18.",
        )
    return cast(nn.Module, CbamModule(channels or model.num_features))


def _has_stages(model: Any) -> bool:
    info = getattr(model, "feature_info", None)
    reductions = {entry["reduction"] for entry in info} if info else set()
    return len(reductions) > 1
