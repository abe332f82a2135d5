"""Colours for classes that have none, as different from each other as can be."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Steps of red, green and blue of the candidates.
_STEPS: Final = np.linspace(0.05, 0.95, 12)
#: Lightness (CIE L*) of colours that are seen on white and under black letters.
_LIGHTEST, _DARKEST = 88.0, 25.0
#: sRGB (D65) to CIE XYZ: IEC 61966-2-1; reference white of D65.
_TO_XYZ: Final = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)
_WHITE: Final = _TO_XYZ.sum(axis=1)


def distinct_colors(count: int) -> tuple[str, ...]:
    """So many colours "#rrggbb", each the farthest in CIE Lab (1976) from all before it."""
    grid = np.stack(np.meshgrid(_STEPS, _STEPS, _STEPS, indexing="ij"), axis=-1).reshape(-1, 3)
    places = _lab(grid)
    seen = (places[:, 0] >= _DARKEST) & (places[:, 0] <= _LIGHTEST)
    grid, places = grid[seen], places[seen]
    chosen = [int(np.linalg.norm(places[:, 1:], axis=1).argmax())]
    distance = np.full(len(grid), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(places - places[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    parts = np.round(grid[chosen[:count]] * 255).astype(int).tolist()
    return tuple("#" + "".join(f"{part:02x}" for part in color) for color in parts)


def _lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE L*, a*, b* (n, 3) of sRGB (n, 3) in 0..1."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _WHITE
    small = xyz <= (6 / 29) ** 3
    f = np.where(small, xyz / (3 * (6 / 29) ** 2) + 4 / 29, np.cbrt(xyz))
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)
