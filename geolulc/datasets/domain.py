"""What a store's patches are like: where, when, and their spectra."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from geolulc.datasets.store import Store
from geolulc.domain import KEY, Spectra, TrainingDomain, patch_means, read_domain

#: Spectra are those of so many patches, evenly spaced in the store's order: 0.5 GB are read.
_MOST_READ = 2000


def training_domain(
    store: Store,
    indices: NDArray[np.int64] | None = None,
    bands: Sequence[str] | None = None,
) -> TrainingDomain:
    """The places, months and spectra of patches; of the split "train" the manifest has them.

    Args:
        store: of the patches.
        indices: their positions; None for the split "train".
        bands: whose spectra; None for all of the store.

    Raises:
        DatasetError: a record is damaged.
    """
    train = store.split("train")
    indices = train if indices is None else np.unique(indices)
    # the order of a network's bands is its own affair
    sensor, size = store.layout.sensor, store.layout.size
    names = tuple(name for name in sensor.names if bands is None or name in bands)
    if names == sensor.names and KEY in store.manifest and np.array_equal(indices, train):
        return read_domain(store.manifest[KEY])
    countries = Counter(name for i in indices if (name := store.countries[i]))
    dates = store.column("date")
    months = Counter(int(dates[i][5:7]) for i in indices if dates[i])
    step = -(-len(indices) // _MOST_READ) or 1
    means = [
        patch_means(store.read(int(i)).dn, sensor.groups, names, np.zeros(1, np.int64), size)
        for i in indices[::step]
    ]
    return TrainingDomain(
        len(indices),
        dict(sorted(countries.items())),
        dict(sorted(months.items())),
        _squares(store, indices),
        Spectra.of(np.concatenate(means), names) if means else None,
    )


def centres(store: Store, indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Longitude and latitude in degrees of the patches' centres, (n, 2)."""
    crs = np.array(store.column("crs"))[indices]
    x, y = (np.array(store.column(name), np.float64)[indices] for name in ("left", "top"))
    half = store.layout.size / 2
    return degrees(crs, x + half, y - half)


def degrees(
    crs: NDArray[np.str_], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Longitude and latitude (n, 2) of points in several CRS, (n,) each."""
    found = np.empty((len(crs), 2))
    for zone in np.unique(crs):
        own = crs == zone
        to_degrees = Transformer.from_crs(str(zone), 4326, always_xy=True)
        found[own] = np.stack(to_degrees.transform(x[own], y[own]), axis=1)
    return found


def _squares(store: Store, indices: NDArray[np.int64]) -> tuple[tuple[int, int, int], ...]:
    """The squares of one degree in which the patches' centres lie, with their numbers."""
    corners = np.floor(centres(store, indices)).astype(int).tolist()
    counts = Counter((west, south) for west, south in corners)
    return tuple((*corner, number) for corner, number in sorted(counts.items()))
