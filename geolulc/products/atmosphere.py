"""The top of the atmosphere, computed from Level-2A: for models that were trained on Level-1C.

An approximation with one air for a whole scene: ρ* = Tg (ρ_path + T ρ / (1 - S ρ)) by band, of the
surface reflectance ρ (the equation of 5S and 6S, Vermote et al. 1997). Path reflectance is that of
single scattering by air and aerosol, attenuated; transmission T and spherical albedo S are those
of Tanré et al. (1979), Tg is the transmission of gases that absorb. Nothing is fitted to images.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from geolulc.bands import SENTINEL2, band
from geolulc.products.directions import Direction
from geolulc.products.scene import AEROSOL, Scene

#: Aerosol optical depth at 550 nm where nothing else is known: of clear air over land.
USUAL_AEROSOL: Final = 0.1
#: Ångström's exponent, asymmetry and single-scattering albedo of continental aerosol
#: (d'Almeida, Koepke and Shettle 1991, rounded).
_EXPONENT, _ASYMMETRY, _ALBEDO = 1.3, 0.65, 0.93
#: Light that is scattered more than once adds about this × the optical depth to the first order.
_HIGHER_ORDERS: Final = 1.2
#: Of each gas that absorbs: its vertical amount u, and (a, n) by band; on a way of m × u it lets
#: exp(-a (u m)^n) through (SMAC: Rahman and Dedieu 1994, doi 10.1080/01431169408954055). Amounts
#: are those of the US Standard Atmosphere 1962 in 6S (Vermote et al. 1997); (a, n) are CNES's
#: coefficients for Sentinel-2A of July 2022, to five digits (github.com/senbox-org/sen2like,
#: commit 0eb2533, Coef_S2A_CONTINENTAL.dat).
_GASES: Final = (
    # water vapour, g/cm²
    (1.424, {
        "B03": (0.00071459, 0.90856), "B04": (0.0034756, 0.7775), "B05": (0.013854, 0.77003),
        "B06": (0.012638, 0.77865), "B07": (0.0040324, 0.76724), "B08": (0.028544, 0.59283),
        "B8A": (0.0003958, 0.9163), "B09": (0.67526, 0.47732), "B11": (0.00062685, 0.95348),
        "B12": (0.017276, 0.66726),
    }),
    # ozone, cm at 0 °C and 1 atm
    (0.344, {
        "B01": (0.0025072, 1.0), "B02": (0.024426, 0.99538), "B03": (0.098446, 0.99883),
        "B04": (0.049858, 0.99902), "B05": (0.02034, 0.99993), "B06": (0.010846, 0.99998),
    }),
    # oxygen, carbon dioxide, methane and nitrous oxide, of which there is as much everywhere
    (1.0, {
        "B05": (1.8401e-05, 0.85217), "B07": (0.00015771, 0.92662), "B08": (3.9724e-05, 0.41344),
        "B8A": (2.9749e-05, 1.014),
    }),
    (1.0, {"B11": (0.01614, 0.74407), "B12": (0.00013764, 0.94719)}),
    (1.0, {"B11": (0.0038684, 0.87672), "B12": (0.020592, 0.81429)}),
    (1.0, {"B12": (0.0017171, 0.94718)}),
)  # fmt: skip
#: Where Sentinel-2 is seen from the ground where a product does not say it: its mean zenith angle
#: over a tile is 2 to 12 degrees.
USUAL_VIEW: Final = Direction(5.0)
#: A sun or satellite below counts as one here, in degrees.
_LOWEST: Final = 85.0
#: Steps of a product's image to an optical depth of 1 (AOTSENTINEL2.scale_VALUE).
_AEROSOL_STEPS: Final = 1000
#: Rows and columns of that image that its mean is taken of, at most: of 60 m all, so that a SAFE
#: and its twin in Zarr have the same.
_SAMPLED: Final = 1830


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
        ground = reflectance / SENTINEL2.scale
        above = self.path + self.transmission * ground / (1 - self.albedo * ground)
        return above * SENTINEL2.scale


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


@dataclass(frozen=True)
class Atmosphere:
    """The air over a scene.

    Attributes:
        bands: by their names.
        words: what it was computed from, in words: angles and aerosol of the product, or assumed.
    """

    bands: Mapping[str, Air]
    words: str


def atmosphere_over(scene: Scene, names: Collection[str]) -> Atmosphere | None:
    """The air over a Level-2A scene in some bands; None where the sun's place is not known.

    Raises:
        ProductError: the image of the aerosol is damaged.
    """
    if scene.sun is None:
        return None
    aerosol = aerosol_over(scene)
    depth = USUAL_AEROSOL if aerosol is None else aerosol
    zeniths = [scene.views[name].zenith for name in names if name in scene.views]
    low, high = min(zeniths, default=USUAL_VIEW.zenith), max(zeniths, default=USUAL_VIEW.zenith)
    view = f"{low:.0f}°" if round(low) == round(high) else f"{low:.0f}° to {high:.0f}°"
    whose = {True: "an assumed", False: "the product's"}
    return Atmosphere(
        air_of(names, scene.sun, scene.views, depth),
        f"sun {scene.sun.zenith:.0f}° from the zenith, {whose[not zeniths]} view at {view}, "
        f"{whose[aerosol is None]} aerosol optical depth of {depth:.2g}",
    )


def air_of(
    names: Collection[str],
    sun: Direction,
    views: Mapping[str, Direction] = MappingProxyType({}),
    aerosol: float = USUAL_AEROSOL,
) -> Mapping[str, Air]:
    """The air over a place by band.

    Args:
        names: of the bands.
        sun: where it stands; 85 degrees from the zenith if lower.
        views: where the satellite is seen, by band; ``USUAL_VIEW`` for others.
        aerosol: optical depth at 550 nm.
    """
    return {name: _air(name, sun, views.get(name, USUAL_VIEW), aerosol) for name in names}


def _air(name: str, sun: Direction, view: Direction, aerosol: float) -> Air:
    wavelength = band(name).wavelength / 1000  # micrometres
    # Hansen and Travis (1974), equation 2.30
    molecules = 0.008569 * wavelength**-4 * (1 + 0.0113 * wavelength**-2 + 0.00013 * wavelength**-4)
    particles = aerosol * (wavelength / 0.55) ** -_EXPONENT
    down, up = (math.cos(math.radians(min(to.zenith, _LOWEST))) for to in (sun, view))
    depth, slant = molecules + particles, 1 / down + 1 / up
    angle = _scattering(sun, view)
    g = _ASYMMETRY
    scattered = (
        molecules * 0.75 * (1 + angle**2)
        + _ALBEDO * particles * (1 - g**2) / (1 + g**2 - 2 * g * angle) ** 1.5
    )
    single = scattered / (4 * down * up) * (1 - math.exp(-depth * slant)) / (depth * slant)
    backwards = 0.5 * molecules + (1 - _ALBEDO + _ALBEDO * (1 - g) / 2) * particles
    absorbed = sum(
        a * (amount * slant) ** n
        for amount, of_bands in _GASES
        for a, n in (of_bands.get(name, (0.0, 1.0)),)
    )
    through = math.exp(-absorbed)
    return Air(
        path=through * single * (1 + _HIGHER_ORDERS * depth),
        transmission=through * math.exp(-backwards * slant),
        albedo=(0.92 * molecules + 0.333 * particles) * math.exp(-depth),
    )


def _scattering(sun: Direction, view: Direction) -> float:
    """The cosine of the angle of scattering; its mean over azimuths where one is not known."""
    (s, v) = (math.radians(min(to.zenith, _LOWEST)) for to in (sun, view))
    apart = math.pi / 2
    if sun.azimuth is not None and view.azimuth is not None:
        apart = math.radians(sun.azimuth - view.azimuth)
    return -math.cos(s) * math.cos(v) - math.sin(s) * math.sin(v) * math.cos(apart)
