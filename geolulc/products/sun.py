"""The place of the sun, for images whose metadata do not say it."""

from __future__ import annotations

import math
from datetime import datetime


def sun_zenith(time: datetime, longitude: float, latitude: float) -> float:
    """The sun's zenith angle in degrees, to about a tenth of one.

    Spencer's Fourier series (1971) of declination and equation of time, as in NOAA's solar
    calculator.

    Args:
        time: in UTC, whether it says so or not.
        longitude, latitude: in degrees, east and north.
    """
    hour = time.hour + time.minute / 60 + time.second / 3600
    year = 2 * math.pi / 365 * (time.timetuple().tm_yday - 1 + (hour - 12) / 24)
    (c1, s1), (c2, s2), (c3, s3) = ((math.cos(k * year), math.sin(k * year)) for k in (1, 2, 3))
    minutes = 229.18 * (0.000075 + 0.001868 * c1 - 0.032077 * s1 - 0.014615 * c2 - 0.040849 * s2)
    declination = (
        0.006918 - 0.399912 * c1 + 0.070257 * s1 - 0.006758 * c2 + 0.000907 * s2
        - 0.002697 * c3 + 0.00148 * s3
    )  # fmt: skip
    turned = math.radians((60 * hour + minutes + 4 * longitude) / 4 - 180)
    north = math.radians(latitude)
    high = math.sin(north) * math.sin(declination)
    high += math.cos(north) * math.cos(declination) * math.cos(turned)
    return math.degrees(math.acos(min(1.0, max(-1.0, high))))
