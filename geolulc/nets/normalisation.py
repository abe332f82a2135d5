"""Per-band mean and standard deviation, by band name, in digital numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from geolulc.errors import ParameterError

_LARGEST: Final = 1e6
#: Reflectance from which on the logarithm counts ratios, and below differences: that of Dynamic
#: World, 1 / 0.005 of 10,000 (Brown et al. 2022).
DARK: Final = 0.02


@dataclass(frozen=True)
class Normalisation:
    """Mean and std of each band: network input is ``(reflectance × 10,000 - mean) / std``.

    Attributes:
        mean: band name → mean, in digital numbers without offset.
        std: band name → standard deviation, above 0, for the same bands.

    Raises:
        ParameterError: a band in one of the two only, or a value that digital
            numbers, which are below 65,536, cannot have: a mean beyond ±10^6, a standard
            deviation outside 10^-6 to 10^6.
    """

    mean: Mapping[str, float]
    std: Mapping[str, float]

    def __post_init__(self) -> None:
        if set(self.mean) != set(self.std):
            raise ParameterError(
                "normalisation",
                found=f"mean of {', '.join(self.mean)} and std of {', '.join(self.std)}",
                expected="the same bands in both",
                remedy="Give mean and std of each band by name.",
            )
        for name in self.mean:
            mean, std = self.mean[name], self.std[name]
            # float32 holds what is computed with them
            if not (_is_number(mean) and _is_number(std)) or not (
                abs(mean) <= _LARGEST and 1 / _LARGEST <= std <= _LARGEST
            ):
                raise ParameterError(
                    f"normalisation of {name}",
                    found=f"mean {mean!r}, std {std!r}",
                    expected="the mean within ±10^6, the std above 0 (10^-6 to 10^6)",
                    remedy="Compute them from the train split.",
                )

    @classmethod
    def none(cls, names: Iterable[str]) -> Normalisation:
        """That of layers that take digital numbers and scale them on their own."""
        return cls(dict.fromkeys(names, 0.0), dict.fromkeys(names, 1.0))

    def of(self, reflectance: str, scale: float) -> Normalisation:
        """That of what the layers take: of reflectance ("linear") or of its logarithm ("log").

        The logarithm is ``ln(1 + DN / (DARK * scale))``; its std is that of the line through the
        mean. ``scale``: of the sensor.
        """
        if reflectance == "linear":
            return self
        unit = DARK * scale
        mean = {name: max(value, 0.0) for name, value in self.mean.items()}
        return Normalisation(
            {name: math.log1p(value / unit) for name, value in mean.items()},
            {name: std / (unit + mean[name]) for name, std in self.std.items()},
        )

    def require(self, names: Iterable[str]) -> None:
        """``ParameterError`` unless every band of ``names`` has a mean and a std."""
        missing = [n for n in names if n not in self.mean]
        if missing:
            raise ParameterError(
                "normalisation",
                found=f"nothing for {', '.join(missing)}",
                expected="a mean and a std for each band of the network",
                remedy="Compute them from the train split.",
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
