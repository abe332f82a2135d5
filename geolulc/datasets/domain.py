"""What a store's patches are like: where, when, and their spectra."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from geolulc.bands import BAND_NAMES, GROUPS
from geolulc.datasets.store import Store
from geolulc.domain import KEY, Spectra, TrainingDomain, patch_means, read_domain
from geolulc.grid import PATCH_SIZE

#: Spectra are those of so many patches, evenly spaced in the store's order: 0.5 GB are read.
_MOST_READ = 2000


def training_domain(
    store: Store,
    indices: NDArray[np.int64] | None = None,
    bands: Sequence[str] = BAND_NAMES,
) -> TrainingDomain:
    """The places, months and spectra of patches; of the split "train" the manifest has them.

    Args:
        store: of the patches.
        indices: their positions; None for the split "train".
        bands: whose spectra.

    Raises:
        DatasetError: a record is damaged.
    """
    train = store.split("train")
    indices = train if indices is None else np.unique(indices)
    # the order of a network's bands is its own affair
    names = tuple(name for name in BAND_NAMES if name in bands)
    if names == BAND_NAMES and KEY in store.manifest and np.array_equal(indices, train):
        return read_domain(store.manifest[KEY])
    countries = Counter(name for i in indices if (name := store.countries[i]))
    dates = store.column("date")
    months = Counter(int(dates[i][5:7]) for i in indices if dates[i])
    step = -(-len(indices) // _MOST_READ) or 1
    means = [
        patch_means(store.read(int(i)).dn, GROUPS, names, np.zeros(1, np.int64), PATCH_SIZE)
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
    found = np.empty((len(indices), 2))
    for zone in np.unique(crs):
        own = crs == zone
        to_degrees = Transformer.from_crs(str(zone), 4326, always_xy=True)
        places = to_degrees.transform(x[own] + PATCH_SIZE / 2, y[own] - PATCH_SIZE / 2)
        found[own] = np.stack(places, axis=1)
    return found


def _squares(store: Store, indices: NDArray[np.int64]) -> tuple[tuple[int, int, int], ...]:
    """The squares of one degree in which the patches' centres lie, with their numbers."""
    corners = np.floor(centres(store, indices)).astype(int).tolist()
    counts = Counter((west, south) for west, south in corners)
    return tuple((*corner, number) for corner, number in sorted(counts.items()))
