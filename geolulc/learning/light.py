"""Random changes of spectra along physical directions: the sun, haze, the season.

What differs between two images of the same ground is mostly this: the light on it (a gain of all
bands), the air above it (a path term that falls with the wavelength: as λ^-4 over molecules,
Rayleigh; as λ^-1.3 over aerosol, Ångström), what grows on it (gains of the visible, of red edge and
near infrared, and of the short-wave infrared), and a little of each band's own. The sizes are
choices: what is left between Level-2A products of one place on clear days.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolulc.bands import Sensor
from geolulc.learning.augmentation import Inputs
from geolulc.nets import LandCoverNet

#: Micrometres where path terms are given: in the blue of Sentinel-2's B02.
_BLUE: Final = 0.4924
#: Standard deviations: logarithms of gains, and path terms as reflectance.
_SUN, _SEASON, _OWN, _PATH = 0.15, 0.15, 0.04, 0.006


@dataclass(frozen=True)
class Light:
    """Changes of ``n`` patches: reflectance becomes ``gain * reflectance + path``.

    Attributes:
        gain: float32 (n, bands).
        path: float32 (n, bands), reflectance × the sensor's ``scale``.
        names: of the bands: of the sensor, the finest first.
    """

    gain: NDArray[np.float32]
    path: NDArray[np.float32]
    names: tuple[str, ...]

    @classmethod
    def draw(
        cls, random: np.random.Generator, n: int, sensor: Sensor, strength: float = 1.0
    ) -> Light:
        """Random changes of ``n`` patches; ``strength`` multiplies every standard deviation."""
        names = tuple(name for group in sensor.groups.values() for name in group)
        at = np.array([sensor.band(name).wavelength / 1000 for name in names])
        # visible; red edge and near infrared; short-wave infrared
        parts = np.stack([at < 0.69, (at >= 0.69) & (at < 1), at >= 1])
        airs = np.stack([(at / _BLUE) ** -4, (at / _BLUE) ** -1.3])
        sun, season = random.standard_normal((n, 1)), random.standard_normal((n, 3))
        own, air = random.standard_normal((n, len(names))), random.standard_normal((n, 2))
        gain = np.exp(strength * (_SUN * sun + _SEASON * season @ parts + _OWN * own))
        path = strength * _PATH * sensor.scale * (air @ airs)
        return cls(gain.astype(np.float32), path.astype(np.float32), names)

    def then(self, other: Light) -> Light:
        """This change, and after it ``other`` of the same patches."""
        return Light(other.gain * self.gain, other.gain * self.path + other.path, self.names)

    def of(self, rows: NDArray[np.int64]) -> Light:
        """The changes of some patches."""
        return Light(self.gain[rows], self.path[rows], self.names)

    def band(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Gain and path of a band, float32 (n,) each."""
        at = self.names.index(name)
        return self.gain[:, at], self.path[:, at]


def in_light(net: LandCoverNet, inputs: Inputs, light: Light) -> Inputs:
    """Network input (see ``LandCoverNet.preprocess``) of N patches in other light.

    Reflectance below 0 becomes 0; what has no data stays so.
    """

    def change(name: str, ground: Tensor) -> Tensor:
        gain, path = (torch.from_numpy(v).to(ground)[:, None, None] for v in light.band(name))
        return (gain * ground + path).clamp_min(0)

    changed = net.with_reflectance(inputs, change)
    return tuple(torch.where(x == 0, x, y) for x, y in zip(inputs, changed, strict=True))
