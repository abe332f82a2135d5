"""The ground that patches lie on: which touch that of others, and splits by blocks of it.

Patches next to each other share fields, weather and often the image: a model that was trained on
one knows much of the other. Ground in two UTM zones is not compared.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolulc.grid import PATCH_SIZE

#: Value of ``--splits`` that makes splits by blocks.
BLOCKS: Final = "blocks"
#: Side of a block: 20 patches, of which the outer ring is left out where another split begins.
BLOCK_SIZE: Final = 20 * PATCH_SIZE
#: The official lists have about twice as many patches to train on as to validate or test on.
_SPLIT_OF_BLOCK: Final = ("train", "train", "val", "test")
#: Positions are whole multiples of this in metres.
_UNIT: Final = 10
_LARGEST: Final = 1 << 28


@dataclass(frozen=True, eq=False)
class Ground:
    """The ground of some patches.

    Attributes:
        zones: "EPSG:…" → int32 (n, 2), (left, top) of its patches in units of 10 m, each once,
            ascending.
    """

    zones: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)

    @classmethod
    def of(cls, crs: Sequence[str], left: ArrayLike, top: ArrayLike) -> Ground:
        """The ground of patches with upper-left corners ``left`` and ``top`` (n,), in metres."""
        zones, corners = np.asarray(crs, np.str_), _corners(left, top)
        names = np.unique(zones).tolist()
        return cls({name: np.unique(corners[zones == name], axis=0) for name in names})

    def __len__(self) -> int:
        return sum(map(len, self.zones.values()))

    def __or__(self, other: Ground) -> Ground:
        both = {name: [g.zones[name] for g in (self, other) if name in g.zones]
                for name in {**self.zones, **other.zones}}  # fmt: skip
        return Ground({n: np.unique(np.concatenate(parts), axis=0) for n, parts in both.items()})

    def touched(
        self, crs: Sequence[str], left: ArrayLike, top: ArrayLike, size: int
    ) -> NDArray[np.bool_]:
        """Whether each patch lies on this ground or shares an edge or corner with it, (n,).

        ``size``: metres a side of all patches, of this ground too.
        """
        from scipy.spatial import KDTree  # 15 MB, which mapping has no use for

        zones, corners = np.asarray(crs, np.str_), _corners(left, top)
        found = np.zeros(len(zones), np.bool_)
        for name, own in self.zones.items():
            rows = np.flatnonzero(zones == name)
            if len(rows) and len(own):
                # the largest of both differences: squares touch up to the side of one
                reach = size / _UNIT
                distance, _ = KDTree(own).query(
                    corners[rows], p=math.inf, distance_upper_bound=reach + 0.5
                )
                found[rows] = distance <= reach
        return found

    def as_text(self) -> dict[str, str]:
        """Zone → its positions as text: differences, compressed; a few bytes a patch at most."""
        return {
            name: base64.b85encode(
                zlib.compress(np.diff(own, axis=0, prepend=0).astype("<i4").T.tobytes(), 9)
            ).decode()
            for name, own in self.zones.items()
        }

    @classmethod
    def from_text(cls, zones: Mapping[str, str]) -> Ground:
        """What ``as_text`` gave; ``ValueError`` for anything else."""
        found = {}
        for name, text in zones.items():
            try:
                packed = base64.b85decode(text)
                unpacker = zlib.decompressobj()
                data = unpacker.decompress(packed, _LARGEST)
                steps = np.frombuffer(data, "<i4").reshape(2, -1).T
            except (ValueError, zlib.error) as error:
                raise ValueError(f"positions in {name} that cannot be read ({error})") from None
            found[name] = np.cumsum(steps, axis=0, dtype=np.int32)
        return cls(found)


def split_of_block(crs: str, left: float, top: float) -> str | None:
    """The split of a patch by the block of 24 km that its centre is in, or None.

    Blocks are drawn by a hash of their place, half of them for training. A patch to validate or
    test on less than its own side from a block of another split is in none.
    """
    own = _block_split(crs, left + PATCH_SIZE / 2, top - PATCH_SIZE / 2)
    if own == "train":
        return own
    around = itertools.product(
        (left - PATCH_SIZE, left + 2 * PATCH_SIZE), (top + PATCH_SIZE, top - 2 * PATCH_SIZE)
    )
    return own if all(_block_split(crs, x, y) == own for x, y in around) else None


def _block_split(crs: str, x: float, y: float) -> str:
    name = f"{crs} {math.floor(x / BLOCK_SIZE)} {math.floor(y / BLOCK_SIZE)}"
    drawn = hashlib.sha256(name.encode()).digest()[0]
    return _SPLIT_OF_BLOCK[drawn % len(_SPLIT_OF_BLOCK)]


def _corners(left: ArrayLike, top: ArrayLike) -> NDArray[np.int32]:
    both = np.stack([np.asarray(left, np.float64), np.asarray(top, np.float64)], axis=-1)
    return np.asarray(np.round(both / _UNIT), np.int32).reshape(-1, 2)
