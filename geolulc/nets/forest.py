"""A random forest as a network of pixels: its trees are tensors, and torch walks them.

So a forest is kept, checked, mapped and evaluated as every other model is, and reading one runs
nobody's code: scikit-learn's own way to keep forests is pickle, skops' files name classes of one
version of scikit-learn whose compiled code trusts the numbers in them, and ONNX would need a
runtime. All pixels of a chunk go down a tree together, as many steps as it is deep; that takes as
long as scikit-learn's compiled loops do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from geolulc.datasets.patch import BIGEARTHNET, PatchLayout
from geolulc.errors import CheckpointError, ParameterError
from geolulc.nets.config import FOREST
from geolulc.nets.pretrained import EncoderInput
from geolulc.nets.resizing import join_bands

#: Pixels on each side of one whose bands are looked at: 5 × 5.
REACH: Final = 2
#: Pixels that walk together: a tensor of them stays in the processor's cache.
_TOGETHER: Final = 16_384
#: No tree of a sound file is deeper; one of a hundred thousand pixels has some 40 levels.
_DEEPEST: Final = 1_000
#: Logits are logarithms of probabilities: of none, that of one vote in ten thousand trees.
_LEAST: Final = 1e-6


class ForestFusion(nn.Module):
    """Bands of a pixel, mean and deviation around it → the logarithm of what the trees say.

    Attributes:
        pixel, multiple, margin: metres, as of every network of pixels.
        below: int32 (nodes, 2), where a pixel goes on from a node: at most its threshold, above
            it. Both are further down the list; those of a leaf are the leaf itself.
        feature: int32 (nodes,), the column of ``features`` that is compared.
        threshold: float32 (nodes,).
        leaf: int32 (nodes,), the row of ``shares``; 0 of a node that is no leaf.
        roots: int32 (trees,).
        shares: float32 (leaves, classes), each adding up to 1.
    """

    def __init__(
        self,
        bands: Mapping[int, Sequence[str]],
        classes: int,
        patches: PatchLayout = BIGEARTHNET,
        *,
        nodes: int = 0,
        trees: int = 0,
        leaves: int = 0,
    ) -> None:
        super().__init__()
        self.pixel, self.multiple = patches.pixel, patches.coarsest
        # around each pixel REACH others, in whole pixels of the coarsest
        self.margin = self.multiple * math.ceil(REACH * self.pixel / self.multiple)
        _require_fine(bands, self.pixel)
        self.count = sum(map(len, bands.values())) + 2 * len(bands[self.pixel])
        self.joins = dict.fromkeys(bands, "columns of a table of pixels")

        def table(*shape: int, dtype: torch.dtype = torch.int32) -> nn.Parameter:
            return nn.Parameter(torch.zeros(shape, dtype=dtype), requires_grad=False)

        self.below, self.feature, self.leaf = table(nodes, 2), table(nodes), table(nodes)
        self.threshold = table(nodes, dtype=torch.float32)
        self.roots = table(trees)
        self.shares = table(leaves, classes, dtype=torch.float32)
        self._depths: list[int] | None = None

    def encoders(self) -> tuple[EncoderInput, ...]:
        """None that other weights could start."""
        return ()

    def forward(self, *groups: Tensor, border: int = 0) -> Tensor:
        """Logarithms (N, classes, rows, columns) of reflectance, less ``border`` metres a side.

        Args:
            groups: (N, bands, rows, columns) of each resolution, × 10,000, 0 without data.
            border: whole finest pixels.
        """
        seen, less = self.features(*groups), border // self.pixel
        seen = seen[..., less : seen.shape[-2] - less, less : seen.shape[-1] - less]
        n, _, rows, columns = seen.shape
        pixels = seen.movedim(1, -1).reshape(-1, self.count)
        said = torch.cat([self.shares_of(part) for part in torch.split(pixels, _TOGETHER)])
        said = said.clamp(min=_LEAST).log()
        return said.view(n, rows, columns, -1).movedim(-1, 1)

    def features(self, *groups: Tensor) -> Tensor:
        """What the trees compare: float32 (N, ``count``, rows, columns).

        All bands on the finest pixels; then, of each of the finest bands, mean and standard
        deviation of those of 5 × 5 pixels that have data. A pixel's own values are the same in
        every window that holds it and its surroundings: sums are of differences from it, always in
        the same order.
        """
        fine = groups[0]
        bands = join_bands(groups, fine.shape[-2:], "nearest")
        known = (fine != 0).any(dim=1, keepdim=True)
        count, total, squares = (torch.zeros_like(x) for x in (known.float(), fine, fine))
        padded, there = (functional.pad(x, [REACH] * 4) for x in (fine, known.float()))
        rows, columns = fine.shape[-2:]
        for down in range(2 * REACH + 1):
            for right in range(2 * REACH + 1):
                at = (..., slice(down, down + rows), slice(right, right + columns))
                apart = (padded[at] - fine) * there[at]
                count += there[at]
                total += apart
                squares += apart**2
        count.clamp_(min=1)
        mean = total / count
        deviation = (squares / count - mean**2).clamp_(min=0).sqrt_()
        around = torch.stack([fine + mean, deviation], dim=2).flatten(1, 2)
        return torch.cat([bands, around], dim=1)

    def shares_of(self, pixels: Tensor) -> Tensor:
        """The trees' mean share of each class, float32 (n, classes), of ``features`` (n, count)."""
        values, children = pixels.reshape(-1), self.below.view(-1)
        row = torch.arange(len(pixels), dtype=torch.int32, device=pixels.device) * self.count
        total = torch.zeros(len(pixels), self.shares.shape[1], device=pixels.device)
        for root, depth in zip(self.roots, self.depths, strict=True):
            at = root.expand(len(pixels))
            for _ in range(depth):
                value = values.index_select(0, row + self.feature.index_select(0, at))
                above = value > self.threshold.index_select(0, at)
                at = children.index_select(0, 2 * at + above)
            total += self.shares.index_select(0, self.leaf.index_select(0, at))
        return total / len(self.roots)

    @property
    def depths(self) -> list[int]:
        """Steps from the root to the deepest leaf of each tree."""
        if self._depths is None:
            self._depths = self._measure()
        return self._depths

    def _measure(self) -> list[int]:
        found, at = [], self.roots.cpu().long()
        children, inner = self.below.cpu().long(), self._inner()
        for root in at:
            level, depth = root[None], 0
            while len(level := level[inner[level]]):
                level, depth = torch.unique(children[level]), depth + 1
                if depth > _DEEPEST:
                    raise _unsound(f"a tree of more than {_DEEPEST} levels", "less deep ones")
            found.append(depth)
        return found

    def _inner(self) -> Tensor:
        """Whether a node is no leaf, bool (nodes,), on the CPU."""
        children = self.below.cpu().long()
        return (children != torch.arange(len(children))[:, None]).any(dim=1)

    def require_sound(self) -> None:
        """``CheckpointError`` unless every walk from a root ends in a leaf with shares."""
        nodes, leaves = len(self.threshold), len(self.shares)
        if not (len(self.roots) and nodes and leaves):
            raise _unsound("no tree", "one tree or more")
        numbers = torch.arange(nodes)[:, None]
        children, inner = self.below.cpu().long(), self._inner()
        further = ((children > numbers) & (children < nodes)).all(dim=1)
        if not further[inner].all():
            raise _unsound("a node before its parent, or not there", "trees without circles")
        for name, values, most in (
            ("feature", self.feature, self.count),
            ("leaf", self.leaf, leaves),
            ("root", self.roots, nodes),
        ):
            if int(values.min()) < 0 or int(values.max()) >= most:
                raise _unsound(f"a {name} {int(values.max())}", f"0 to {most - 1}")
        sums = self.shares.sum(dim=1)
        if float(self.shares.min()) < 0 or float((sums - 1).abs().max()) > 1e-3:
            raise _unsound("shares that are no probabilities", "those of a leaf adding up to 1")
        self._depths = self._measure()


def forest_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """The sizes of ``ForestFusion`` from the shapes of a checkpoint's tensors; 0 where absent."""
    tables = {"nodes": "threshold", "trees": "roots", "leaves": "shares"}
    found = {name: shapes.get(f"fusion.{table}", ()) for name, table in tables.items()}
    return {name: int(shape[0]) if shape else 0 for name, shape in found.items()}


def _require_fine(bands: Mapping[int, Sequence[str]], pixel: int) -> None:
    if not bands.get(pixel):
        raise ParameterError(
            f"backbone {FOREST}",
            found=f"bands of {', '.join(str(r) for r in bands)} m",
            expected=f"a band of {pixel} m, the pixels that get a class",
            remedy=f"Add a band of {pixel} m.",
        )


def _unsound(found: str, expected: str) -> CheckpointError:
    return CheckpointError(
        "forest",
        found=found,
        expected=expected,
        remedy="The file is damaged; use another copy or train again.",
    )
