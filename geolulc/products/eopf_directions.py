"""Directions to the sun and to the satellite in EOPF Zarr, the means over a tile."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from numpy.typing import NDArray

from geolulc.errors import ProductError
from geolulc.products.directions import Direction, direction
from geolulc.products.zarr_arrays import Store

_GEOMETRY: Final = "conditions/geometry"
_ANGLES: Final = ("zenith", "azimuth")
_SUN: Final = "mean_sun_{}_angle_in_deg_for_all_bands_all_detectors"


def sun_of(other_metadata: Mapping[str, Any]) -> Direction | None:
    """What ``other_metadata`` says of the sun."""
    return direction(*(other_metadata.get(_SUN.format(name)) for name in _ANGLES))


def views_of(store: Store, bands: Collection[str]) -> dict[str, Direction]:
    """Where the satellite is seen, by band; of those that its arrays name.

    Raises:
        ProductError: a chunk of them is damaged.
    """
    names, angles, means = (
        _whole(store, f"{_GEOMETRY}/{name}")
        for name in ("band", "angle", "mean_viewing_incidence_angles")
    )
    if names is None or angles is None or means is None:
        return {}
    try:
        rows, columns = ([str(text).lower() for text in labels] for labels in (names, angles))
    except ValueError:  # no letters
        return {}
    if means.shape != (len(rows), len(columns)) or not {*_ANGLES} <= {*columns}:
        return {}
    at = [columns.index(name) for name in _ANGLES]
    found = {b: direction(*means[rows.index(b.lower()), at]) for b in bands if b.lower() in rows}
    return {band: view for band, view in found.items() if view is not None}


def _whole(store: Store, path: str) -> NDArray[Any] | None:
    """An array that is one chunk."""
    try:
        array = store.array(path)
    except ProductError:  # of a kind that is not let in: what it says is not known
        return None
    if array is None or array.chunk != array.shape:
        return None
    return array.read(*(0,) * len(array.shape))
