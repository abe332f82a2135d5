"""The network of Dynamic World: nine classes at 10 m, from Level-1C (Brown et al. 2022).

Layers, preprocessing and weights are those that Google publishes under Apache-2.0
(github.com/google/dynamicworld, commit 0dd288f; doi 10.1038/s41597-022-01307-4);
``published_dynamic_world.py`` reads these. ``half_resolution.py`` has the layers, and a network of
them that is trained here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from geolulc.errors import ParameterError
from geolulc.nets.config import DYNAMIC_WORLD_BANDS as BANDS
from geolulc.nets.config import HALF_RESOLUTION
from geolulc.nets.half_resolution import REACH, HalfResolution
from geolulc.nets.pretrained import EncoderInput
from geolulc.products.atmosphere import air_of
from geolulc.products.directions import Direction

#: Band → (a, b): x = (ln(0.005 DN + 1) - a) / b, then sigmoid(5 x - 1); in the network's order.
SCALES: Final = MappingProxyType(
    {
        "B02": (1.7417268007636313, 2.023298706048351),
        "B03": (1.7261204997060209, 2.038905204308012),
        "B04": (1.6798346251414997, 2.179592821212937),
        "B05": (1.7734969472909623, 2.2890068333026603),
        "B06": (2.289154079164943, 2.6171674549378166),
        "B07": (2.382939712192371, 2.773418590375327),
        "B08": (2.3828939530384052, 2.7578332604178284),
        "B11": (2.1952484264967844, 2.789092484314204),
        "B12": (1.554812948247501, 2.4140534947492487),
    }
)
#: Where the network's bands are among those of 10 m, then those of 20 m.
_ORDER: Final = tuple([*BANDS[10], *BANDS[20]].index(name) for name in SCALES)
_CHANNELS: Final = HALF_RESOLUTION["dynamicworld"]
#: The sun in degrees from the zenith whose air a network of Level-2A adds: about the mean of land
#: in Sentinel-2's morning. Weights that have seen the top of the atmosphere start from there.
_ZENITH: Final = 45.0
_LENGTH_EPSILON: Final = 1e-12
#: Numbers of float32 that are computed on at once: some 256 kB.
_CACHED: Final = 1 << 16
#: Rows of half resolution whose inner products are computed at once.
_ROWS: Final = 8


class DynamicWorldFusion(HalfResolution):
    """Dynamic World's layers; batch norms are folded into the convolutions.

    Attributes:
        multiple: metres that divide the sides of its windows.
        margin: metres at a window's border that its neighbours reach.
    """

    multiple = 60
    margin = 10 * REACH

    def __init__(self, num_classes: int = 9, level: str = "L1C") -> None:
        """``level``: of what it sees; to Level-2A it adds a usual air."""
        super().__init__(len(SCALES), _CHANNELS, unit=_bare, activate=_mish, halve=_halved)
        self.head = nn.Conv2d(self.channels, num_classes, 1)
        self.air = air_of(SCALES, Direction(_ZENITH)) if level == "L2A" else {}
        scales = torch.tensor(list(SCALES.values()), dtype=torch.float32)
        self.register_buffer("shift", scales[:, 0].view(-1, 1, 1), persistent=False)
        self.register_buffer("divisor", scales[:, 1].view(-1, 1, 1), persistent=False)

    def encoders(self) -> tuple[EncoderInput, ...]:
        """The whole network: of other weights none could start it."""
        return (EncoderInput(self, tuple(SCALES)),)

    def forward(self, x10: Tensor, x20: Tensor, border: int = 0) -> Tensor:
        """Logits (N, classes, rows, columns) of 1/10000 reflectance, less ``border`` metres a side.

        Args:
            x10: float32 (N, 4, rows, columns).
            x20: float32 (N, 5, ⌈rows / 2⌉, ⌈columns / 2⌉).
            border: a multiple of 60.
        """
        size = x10.shape[-2:]
        x20 = functional.interpolate(x20, size=size, mode="bilinear", align_corners=False)
        return self.classify(torch.cat([x10, x20], dim=1)[:, _ORDER], border // 10)

    def classify(self, x: Tensor, border: int = 0) -> Tensor:
        """Logits (N, classes, rows, columns) of the bands on one grid, in ``SCALES``' order."""
        shift, divisor = cast(Tensor, self.shift), cast(Tensor, self.divisor)
        if self.air:
            x = torch.stack([self.air[b].seen(x[:, i]) for i, b in enumerate(SCALES)], dim=1)
        x = torch.log1p(x * 0.005).sub_(shift).div_(divisor).mul_(5).sub_(1).sigmoid_()
        size = x.shape[-2:]
        half = (size[0] // 2, size[1] // 2)
        x = self.features(x)
        if size[0] % 2 or size[1] % 2:
            logits = _logits_of_any_size(x, self.head, size)
            return logits[..., border : size[0] - border, border : size[1] - border]
        if border:  # one pixel of half resolution more, for what it is enlarged from
            less = border // 2 - 1
            x = x[..., less : half[0] - less, less : half[1] - less]
        logits = _logits_of_double_size(x, self.head)
        return logits[..., 2:-2, 2:-2] if border else logits


def _bare(layer: nn.Conv2d) -> nn.Module:
    return layer


def _mish(x: Tensor) -> Tensor:
    """Mish, x · tanh(softplus(x)), in the place of ``x`` where no gradient is asked for.

    torch's own takes three transcendental functions on a CPU. With e = exp(x) it is
    x · (1 - 2 / ((1 + e)² + 1)), an infinite e included; here some numbers at a time, so
    that they stay in the processor's cache.
    """
    if x.requires_grad or x.device.type != "cpu" or x.dtype != torch.float32 or _is_exported():
        return functional.mish(x, inplace=not x.requires_grad)
    flat = (x.permute(0, 2, 3, 1) if x.stride(1) == 1 else x).view(-1)
    kept = torch.empty(min(_CACHED, len(flat)))
    for start in range(0, len(flat), _CACHED):
        part = flat[start : start + _CACHED]
        share = torch.exp(part, out=kept[: len(part)])
        share.add_(1).square_().add_(1).reciprocal_()
        part.addcmul_(part, share, value=-2)
    return x


def _is_exported() -> bool:
    return torch.compiler.is_compiling()


def _halved(x: Tensor) -> Tensor:
    """Half the rows and columns: bilinear with antialiasing (a triangle four pixels wide)."""
    rows, columns = x.shape[-2:]
    if rows % 2 or columns % 2 or min(rows, columns) < 4:
        size = (rows // 2, columns // 2)
        return functional.interpolate(
            x, size=size, mode="bilinear", align_corners=False, antialias=True
        )
    # of even sizes all pixels have one kernel; at the borders the part of it that lies inside
    line = x.new_tensor([1, 3, 3, 1]) / 8
    kernel = torch.outer(line, line).expand(x.shape[1], 1, 4, 4)
    x = functional.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])
    x[..., (0, -1), :] *= 8 / 7
    x[..., (0, -1)] *= 8 / 7
    return x


def _enlarged(x: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    return functional.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def _logits_of_any_size(x: Tensor, head: nn.Conv2d, size: torch.Size) -> Tensor:
    """The head as it is published: enlarge, bring to length 1, convolve."""
    x = _enlarged(x, size)
    squared = x.square().sum(dim=1, keepdim=True)
    logits: Tensor = head(x * squared.clamp_min(_LENGTH_EPSILON).rsqrt())
    return logits


def _logits_of_double_size(x: Tensor, head: nn.Conv2d) -> Tensor:
    """What ``_logits_of_any_size`` gives, without all channels at full resolution.

    The convolution commutes with the enlarging, and the squared length of a mixture of four
    vectors is a sum of their inner products: nine logits and five products are enlarged.
    """
    mixed = functional.conv2d(x, head.weight)
    size = (2 * x.shape[-2], 2 * x.shape[-1])
    length = _squared_lengths(x).clamp_min_(_LENGTH_EPSILON).rsqrt_()
    logits = _enlarged(mixed, size).mul_(length)
    return logits.add_(head.bias.view(-1, 1, 1)) if head.bias is not None else logits


def _squared_lengths(x: Tensor) -> Tensor:
    """Squared lengths of the vectors of ``x`` enlarged twice: (N, 1, 2 rows, 2 columns)."""
    x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    # some rows at a time: products of all channels stay in the processor's cache
    count = x.shape[-2] if _is_exported() else _ROWS
    tops = range(0, x.shape[-2] - 1, count)
    found = torch.cat([_lengths_between(x[..., top : top + count + 1, :]) for top in tops], dim=1)
    return found[:, None, 1:-1, 1:-1]


def _lengths_between(x: Tensor) -> Tensor:
    """Squared lengths at the points between neighbours: (N, 2 (rows - 1), 2 (columns - 1))."""
    own = x.square().sum(dim=1)
    across = (x[..., :, :-1] * x[..., :, 1:]).sum(dim=1)
    down = (x[..., :-1, :] * x[..., 1:, :]).sum(dim=1)
    falling = (x[..., :-1, :-1] * x[..., 1:, 1:]).sum(dim=1)
    rising = (x[..., :-1, 1:] * x[..., 1:, :-1]).sum(dim=1)
    n, rows, columns = falling.shape
    found = x.new_empty(n, rows, 2, columns, 2)
    for i, (upper, lower) in enumerate(((0.75, 0.25), (0.25, 0.75))):
        for j, (left, right) in enumerate(((0.75, 0.25), (0.25, 0.75))):
            a, b, c, d = upper * left, upper * right, lower * left, lower * right
            found[:, :, i, :, j] = (
                a * a * own[:, :-1, :-1]
                + b * b * own[:, :-1, 1:]
                + c * c * own[:, 1:, :-1]
                + d * d * own[:, 1:, 1:]
                + 2 * (a * b * across[:, :-1] + c * d * across[:, 1:])
                + 2 * (a * c * down[..., :-1] + b * d * down[..., 1:])
                + 2 * (a * d * falling + b * c * rising)
            )
    return found.view(n, 2 * rows, 2 * columns)


def require_dynamic_world(bands: Mapping[int, tuple[str, ...]]) -> None:
    """``ParameterError`` for other bands than the network has."""
    if dict(bands) != dict(BANDS):
        raise ParameterError(
            "fusion dynamicworld",
            found=", ".join(name for names in bands.values() for name in names) or "no bands",
            expected=", ".join(SCALES),
            remedy="Leave bands out, or train with another fusion.",
        )
