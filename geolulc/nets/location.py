"""Where in a patch a class is: the head of a patch model applied before pooling.

A convolutional network pools a feature map over the patch and reads its classes from the pooled
features: ``logits = h(mean of F(x))``. Read ``h`` in each place x of the map and the answer has a
place: the class evidence ``e(x)``. With a linear head (ResNet, EfficientNet) ``e(x) = h(F(x))``,
class activation maps (Zhou et al. 2016), and the mean of e over the patch is the logits.

Heads that are not linear in the features' distribution over the patch (ConvNeXt normalises after
pooling, the shallow trunk pools the deviation too) are replaced by their tangent there: ``e(x) =
logits + d logits`` for a patch with a little more of the place x, the influence function of robust
statistics (Hampel 1974). Its mean is the logits too, for every head, and for a linear one it is
the same. For the deviation s about the mean m the tangent is ``((F(x) - m)² - s²) / 2s``.

What the head adds for the whole patch (label correlation) is added in every place alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from geolulc.errors import ParameterError
from geolulc.nets.backbones import cuts_squares
from geolulc.nets.early import EarlyFusion
from geolulc.nets.intermediate import IntermediateFusion
from geolulc.nets.late import LateFusion
from geolulc.nets.network import LandCoverNet
from geolulc.nets.pixel_classes import PixelClassesFusion
from geolulc.nets.shallow import EPSILON, ShallowFusion, moments

#: Pooled features (M, channels) → logits (M, classes).
Head = Callable[[Tensor], Tensor]
#: Agreement of evidence and logits below which a head does not pool by the mean.
_TOLERANCE: Final = 1e-3


def evidence(net: LandCoverNet, *groups: Tensor) -> Tensor:
    """Class evidence (N, classes, rows, columns), float32, on the grid of the network's trunk.

    Its mean over rows and columns is ``net.classify(*groups)``.

    Args:
        net: a network that ``require_location`` accepts, in evaluation mode.
        groups: what ``net.preprocess`` gives.
    """
    fusion = net.fusion
    if isinstance(fusion, EarlyFusion | IntermediateFusion):
        places = _of_mean(fusion.features(*groups), _head_of(fusion.backbone))
    elif isinstance(fusion, ShallowFusion):
        places = _of_moments(fusion.features(*groups), fusion.head)
    elif isinstance(fusion, PixelClassesFusion):
        places = _of_pixels(fusion.features(*groups), fusion.of_moments)
    elif isinstance(fusion, LateFusion):
        places = _of_encoders(fusion, groups, net.patch_size)
    else:
        raise _refusal(net, type(fusion).__name__)
    places = places.float()
    if net.label_correlation is not None:
        logits = places.mean(dim=(2, 3))
        places = places + (net.label_correlation(logits) - logits)[:, :, None, None]
    return places


def require_location(net: LandCoverNet, name: str = "model") -> None:
    """``ParameterError`` unless ``net`` pools a feature map by the mean, so that places count."""
    try:
        with torch.no_grad():
            groups = trial(net)
            places, logits = evidence(net, *groups), net.classify(*groups)
    except ParameterError as error:
        raise _refusal(net, str(error.found), name) from error
    except (RuntimeError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise _refusal(net, "a network without a map of features", name) from error
    scale = 1 + float(logits.abs().max())
    if not (math.isfinite(scale) and bool(torch.isfinite(places).all())):
        raise _refusal(net, "numbers that float32 cannot hold", name)
    if places.ndim != 4 or places.shape[-1] < 2:
        raise _refusal(net, "a network without a map of features", name)
    if not torch.allclose(places.mean(dim=(2, 3)), logits, atol=_TOLERANCE * scale):
        raise _refusal(net, "a network whose head does not pool by the mean", name)


def evidence_grid(net: LandCoverNet) -> tuple[Tensor, float]:
    """Where the evidence of a patch lies: places along a side, and their spacing, in metres.

    Trunks that pad keep the first pixel of every stride (ResNet, EfficientNet: a feature's centre
    lies on it); of trunks that cut squares (ConvNeXt), a feature lies in its square's middle.
    """
    with torch.no_grad():
        count = evidence(net, *trial(net)).shape[-1]
    fusion = net.fusion
    if isinstance(fusion, PixelClassesFusion):  # a place is a pixel
        spacing = net.patch_size / count
        return (torch.arange(count) + 0.5) * spacing, spacing
    if isinstance(fusion, LateFusion):
        fusion = next(iter(fusion.by_resolution().values()))
    return _grid(fusion, net.patch_size, count)


def _grid(trunk: Any, patch_size: int, count: int) -> tuple[Tensor, float]:
    """Where ``count`` features a side lie on a patch, and their spacing, in metres."""
    stride = 2 ** round(math.log2(trunk.image_size / count))
    spacing = stride * patch_size / trunk.image_size
    return (torch.arange(count) + (0.5 if cuts_squares(trunk.backbone) else 0.0)) * spacing, spacing


def read_line(at: Tensor, places: Tensor, spacing: float) -> Tensor:
    """Weights (…, places) of straight lines between ``places``, read ``at`` metres (…).

    Beyond the first and the last place, it is their value that is read.
    """
    distance = (at.clamp(places[0], places[-1])[..., None] - places).abs() / spacing
    return (1 - distance).clamp(min=0)


def _of_mean(features: Tensor, head: Head) -> Tensor:
    """Evidence of ``head(mean of features)``; features (N, channels, rows, columns)."""
    if features.ndim != 4:
        raise ValueError(f"features of shape {tuple(features.shape)}")
    rows, columns = features.shape[2:]
    mean = features.mean(dim=(2, 3))
    places = features.permute(0, 2, 3, 1)
    tangent = _tangent(head, mean, (places - mean[:, None, None]).flatten(1, 2))
    return tangent.reshape(len(mean), rows, columns, -1).permute(0, 3, 1, 2)


def _of_moments(features: Tensor, head: nn.Module) -> Tensor:
    """Evidence of a linear ``head([mean, deviation])``."""
    pooled = _moments_at(features)
    return cast(Tensor, head(pooled.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


def _of_pixels(features: Tensor, head: Head) -> Tensor:
    """Evidence of any ``head([mean, deviation])``."""
    rows, columns = features.shape[2:]
    mean = moments(features)
    apart = _moments_at(features).flatten(2).transpose(1, 2) - mean[:, None]
    places = _tangent(head, mean, apart).transpose(1, 2)
    return places.reshape(*places.shape[:2], rows, columns)


def _moments_at(features: Tensor) -> Tensor:
    """What each place says of mean and deviation, whose means these are: (N, 2 × channels, …)."""
    mean = features.mean(dim=(2, 3), keepdim=True)
    apart = features - mean
    variance = apart.square().mean(dim=(2, 3), keepdim=True)
    deviation = (variance + EPSILON).sqrt()
    change = (apart.square() - variance) / (2 * deviation)
    return torch.cat([mean + apart, deviation + change], dim=1)


def _of_encoders(fusion: LateFusion, groups: tuple[Tensor, ...], patch_size: int) -> Tensor:
    """Evidence of the encoders, each its part of the linear head, on the grid of the finest."""
    encoders = list(fusion.by_resolution().values())
    weights = torch.split(fusion.head.weight, [e.num_features for e in encoders], dim=1)
    parts = [
        _of_mean(encoder.features(x), _part_of(weight, encoder.pool))
        for encoder, x, weight in zip(encoders, groups, weights, strict=True)
    ]
    grids = [_grid(e, patch_size, part.shape[-1]) for e, part in zip(encoders, parts, strict=True)]
    total = parts[0]
    for part, (places, spacing) in zip(parts[1:], grids[1:], strict=True):
        total = total + _moved(part, read_line(grids[0][0], places, spacing))
    return total + fusion.head.bias[:, None, None]


def _moved(part: Tensor, weights: Tensor) -> Tensor:
    """``part`` (N, classes, places, places) on another grid by ``weights``, with the same mean."""
    weights = weights.to(part)
    found = weights @ part @ weights.T
    return found + (part.mean(dim=(2, 3)) - found.mean(dim=(2, 3)))[:, :, None, None]


def _tangent(head: Head, mean: Tensor, apart: Tensor) -> Tensor:
    """``head(mean) + head'(mean) · apart``: (N, D), (N, places, D) → (N, places, classes)."""
    # derivatives need tensors that may be recorded, which those of inference mode may not
    with torch.inference_mode(False), torch.enable_grad():
        point = mean.clone().requires_grad_()
        logits = head(point)
        slopes = [
            torch.autograd.grad(logits[:, i].sum(), point, retain_graph=True)[0]
            for i in range(logits.shape[1])
        ]
    slope = torch.stack(slopes, dim=2)
    return logits.detach()[:, None] + apart @ slope


def _head_of(backbone: Any) -> Head:
    """A timm model's head on features that are pooled already."""
    return lambda pooled: backbone.forward_head(pooled[:, :, None, None])


def _part_of(weight: Tensor, pooled: Head) -> Head:
    """The part of a linear head that takes the features of one encoder."""
    return lambda mean: functional.linear(pooled(mean), weight)


def trial(net: LandCoverNet) -> list[Tensor]:
    """A seeded patch as ``net.preprocess`` gives it."""
    weight = getattr(net, f"mean{min(net.bands)}")
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, *shape, generator=generator).to(weight) for shape in net.shapes]


def _refusal(net: LandCoverNet, found: str, name: str = "model") -> ParameterError:
    return ParameterError(
        f"location with {name}",
        found=f"{found} ({net.config.backbone})",
        expected="a convolutional network that averages features over the patch",
        remedy="Map patches (--stride), or use a model such as ResNet, EfficientNet or ConvNeXt.",
    )
