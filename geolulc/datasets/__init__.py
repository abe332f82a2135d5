"""BigEarthNet archives → datadings store → batches.

``prepare_store`` writes a store, ``open_store`` reads one. torch is only in ``loader``.
"""

from geolulc.datasets.patch import GROUP_SHAPES, SPLITS, Patch
from geolulc.datasets.prepare import BrokenPatchesError, Lists, prepare_store
from geolulc.datasets.selection import Selection
from geolulc.datasets.statistics import BandStatistics
from geolulc.datasets.store import Store, open_store
from geolulc.datasets.summary import describe_store

__all__ = [
    "GROUP_SHAPES",
    "SPLITS",
    "BandStatistics",
    "BrokenPatchesError",
    "Lists",
    "Patch",
    "Selection",
    "Store",
    "describe_store",
    "open_store",
    "prepare_store",
]
