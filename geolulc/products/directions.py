"""Directions from the ground to the sun and to the satellite."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Direction:
    """From the ground to the sun or to the satellite.

    Attributes:
        zenith: angle from the vertical in degrees, 0 to 180.
        azimuth: angle from north, clockwise, in degrees; None where it is not known.
    """

    zenith: float
    azimuth: float | None = None


def direction(zenith: Any, azimuth: Any = None) -> Direction | None:
    """Angles as a product says them, numbers or texts; None where the zenith angle is none."""
    found = _degrees(zenith)
    if found is None or not 0 <= found <= 180:
        return None
    return Direction(found, _degrees(azimuth))


def _degrees(value: Any) -> float | None:
    try:
        degrees = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return degrees if math.isfinite(degrees) else None
