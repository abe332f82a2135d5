"""What a user chooses about labels, checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from geolulc.errors import ParameterError, require_one_of
from geolulc.grid import PATCH_SIZE
from geolulc.mapping.options import MASKED_SCL

#: Ways to settle pixels that features of different classes, or folds, claim.
OVERLAPS: Final = ("ignore", "first", "last")
#: Values of ``split_by`` that are no column.
BLOCKS, TILE, SCENE = "blocks", "tile", "scene"


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Choices of ``label_scenes``.

    Attributes:
        buffer: metres by which features grow before they are burnt; below 0 polygons shrink, which
            leaves out their mixed edges.
        all_touched: label every pixel that a polygon touches, not only those whose centre it holds.
        overlaps: pixels that features of different classes claim: "ignore" (no label), or the
            label of the "first" or "last" feature in the file.
        mask_scl: codes of the scene classification under which there is no label.
        split_by: what is never on both sides of a split: "blocks" of the ground, the value of a
            column of the features, or the "tile" or "scene" that a feature is on (of several the
            first).
        block_size: side of a block in metres.
        folds: parts of about equal size that the places are dealt to: the first is the test
            split, the second the validation split, the others are for training.
        least_places: classes in fewer places (blocks, values …) are left out.
        seed: of the dealing.
        threads: for decoding; None: one a core.
        verify: compare images with the checksums that came with them.

    Raises:
        ParameterError: a value out of its range.
    """

    buffer: float = 0.0
    all_touched: bool = False
    overlaps: str = "ignore"
    mask_scl: tuple[int, ...] = MASKED_SCL
    split_by: str = BLOCKS
    block_size: int = 2 * PATCH_SIZE
    folds: int = 5
    least_places: int = 1
    seed: int = 0
    threads: int | None = None
    verify: bool = True

    def __post_init__(self) -> None:
        require_one_of("overlaps", self.overlaps, OVERLAPS)
        for name, value, low, high in (
            ("buffer", self.buffer, -10_000, 10_000),
            ("block size", self.block_size, 10, 1_000_000),
            ("folds", self.folds, 3, 100),
            ("least places", self.least_places, 1, 1_000_000),
            ("seed", self.seed, 0, 2**31 - 1),
            ("threads", self.threads or 1, 1, 1024),
        ):
            if not low <= value <= high:
                raise ParameterError(
                    name,
                    found=value,
                    expected=f"{low:g} to {high:g}",
                    remedy="Give another value.",
                )
