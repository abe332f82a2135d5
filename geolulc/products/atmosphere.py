"""The top of the atmosphere, computed from Level-2A: for models that were trained on Level-1C.

An approximation with one air for a whole scene: ρ* = Tg (ρ_path + T ρ / (1 - S ρ)) by band, of the
surface reflectance ρ (the equation of 5S and 6S, Vermote et al. 1997). Path reflectance is that of
single scattering by air and aerosol, attenuated; transmission T and spherical albedo S are those
of Tanré et al. (1979), Tg is the transmission of gases that absorb. Nothing is fitted to images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from geolulc.bands import band
from geolulc.products.scene import AEROSOL, Scene

#: Aerosol optical depth at 550 nm where nothing else is known: of clear air over land.
USUAL_AEROSOL: Final = 0.1
#: Ångström's exponent, asymmetry and single-scattering albedo of continental aerosol
#: (d'Almeida, Koepke and Shettle 1991, rounded).
_EXPONENT, _ASYMMETRY, _ALBEDO = 1.3, 0.65, 0.93
#: Light that is scattered more than once adds about this × the optical depth to the first order.
_HIGHER_ORDERS: Final = 1.2
#: Optical depth of absorbing gases on a vertical way, rounded to some thousandths: 300 Dobson units
#: of ozone in its Chappuis band, water vapour, carbon dioxide and methane of mid latitudes.
_GASES: Final = MappingProxyType(
    {
        "B02": 0.006,
        "B03": 0.030,
        "B04": 0.017,
        "B05": 0.016,
        "B06": 0.008,
        "B07": 0.002,
        "B08": 0.010,
        "B11": 0.020,
        "B12": 0.032,
    }
)
#: Sentinel-2 looks down: its mean view zenith angle, in degrees, differs little by tile.
_VIEW_ZENITH: Final = 5.0
_QUANTIFICATION: Final = 10_000
#: Steps of a product's image to an optical depth of 1 (AOT_QUANTIFICATION_VALUE).
_AEROSOL_STEPS: Final = 1000
#: Rows and columns of that image that its mean is taken of, at most.
_SAMPLED: Final = 366


@dataclass(frozen=True)
class Air:
    """What the air does to a band.

    Attributes:
        path: reflectance of the air alone.
        transmission: down and up.
        albedo: of the air, from below.
    """

    path: float
    transmission: float
    albedo: float

    def seen(self, reflectance: Any) -> Any:
        """1/10000 reflectance at the ground (an array or tensor) → at the top of the air."""
        ground = reflectance / _QUANTIFICATION
        above = self.path + self.transmission * ground / (1 - self.albedo * ground)
        return above * _QUANTIFICATION


def aerosol_over(scene: Scene) -> float | None:
    """Aerosol optical depth at 550 nm: the mean of the scene's own image; None without one.

    Raises:
        ProductError: the image is damaged.
    """
    if AEROSOL not in scene.images:
        return None
    with scene.opened((AEROSOL,)) as images:
        rows, columns = images[AEROSOL].tiling.shape
        shape = min(rows, _SAMPLED), min(columns, _SAMPLED)
        depth = images[AEROSOL].shrunk(slice(0, rows), slice(0, columns), shape)
    known = depth[depth > 0]
    return float(known.mean()) / _AEROSOL_STEPS if known.size else None


def air_of(
    names: tuple[str, ...], sun_zenith: float, aerosol: float = USUAL_AEROSOL
) -> Mapping[str, Air]:
    """The air over a scene by band.

    Args:
        names: of the bands.
        sun_zenith: of the sun, in degrees; above 85 it counts as 85.
        aerosol: optical depth at 550 nm.
    """
    sun, view = (math.cos(math.radians(min(a, 85.0))) for a in (sun_zenith, _VIEW_ZENITH))
    return {name: _air(name, sun, view, aerosol) for name in names}


def _air(name: str, sun: float, view: float, aerosol: float) -> Air:
    """``sun`` and ``view`` are cosines of zenith angles."""
    wavelength = band(name).wavelength / 1000  # micrometres
    # Hansen and Travis (1974), equation 2.30
    molecules = 0.008569 * wavelength**-4 * (1 + 0.0113 * wavelength**-2 + 0.00013 * wavelength**-4)
    particles = aerosol * (wavelength / 0.55) ** -_EXPONENT
    depth, slant = molecules + particles, 1 / sun + 1 / view
    angle = -sun * view  # the cosine of scattering, mean over azimuths
    g = _ASYMMETRY
    scattered = (
        molecules * 0.75 * (1 + angle**2)
        + _ALBEDO * particles * (1 - g**2) / (1 + g**2 - 2 * g * angle) ** 1.5
    )
    single = scattered / (4 * sun * view) * (1 - math.exp(-depth * slant)) / (depth * slant)
    backwards = 0.5 * molecules + (1 - _ALBEDO + _ALBEDO * (1 - g) / 2) * particles
    through = math.exp(-_GASES.get(name, 0.0) * slant)
    return Air(
        path=through * single * (1 + _HIGHER_ORDERS * depth),
        transmission=through * math.exp(-backwards * slant),
        albedo=(0.92 * molecules + 0.333 * particles) * math.exp(-depth),
    )
