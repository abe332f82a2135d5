"""How maps are combined into one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from geolulc.errors import ParameterError

#: Ways to combine the observations of a cell.
COMBINATIONS: Final = ("mean", "median", "max", "latest")
#: Least valid × clear share of an observation that is not averaged with others.
_HALF: Final = 0.5


@dataclass(frozen=True, slots=True)
class MosaicOptions:
    """Choices of ``geolulc mosaic`` that concern the values.

    Attributes:
        combine: of ``COMBINATIONS``.
        crs: of the mosaic; None for the maps' own, or EPSG:3035 in Europe where these differ.
        cell_size: side of a cell in metres; None for the maps' own.
        min_weight: an observation whose valid × clear share is below this is left out; None for
            0 with "mean", where weights tell them apart, and 0.5 otherwise.
        mixed_models: accept maps made by different models.
    """

    combine: str = "mean"
    crs: str | None = None
    cell_size: int | None = None
    min_weight: float | None = None
    mixed_models: bool = False

    def __post_init__(self) -> None:
        if self.combine not in COMBINATIONS:
            raise ParameterError(
                f"combination {self.combine!r}",
                found="no such combination",
                expected=f"one of {', '.join(COMBINATIONS)}",
                remedy="Use one of these.",
            )
        if self.cell_size is not None and self.cell_size < 1:
            raise ParameterError(
                "cell size",
                found=f"{self.cell_size} m",
                expected="whole metres, at least 1",
                remedy="Leave it out for the maps' own.",
            )
        if self.min_weight is not None and not 0 <= self.min_weight <= 1:
            raise ParameterError(
                "smallest weight",
                found=self.min_weight,
                expected="a share, 0 to 1",
                remedy="Use 0.5, say.",
            )

    @property
    def least_weight(self) -> float:
        """``min_weight``, or what stands for None."""
        if self.min_weight is not None:
            return self.min_weight
        return 0.0 if self.combine == "mean" else _HALF
