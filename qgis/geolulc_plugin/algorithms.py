"""The algorithms of the provider, in the order of the toolbox."""

from __future__ import annotations

from .installation import Install, Status
from .maps import MapCells, MapPixels, Mosaic
from .tables import Assess, Compare, Sample, SummarizeZones
from .training import TrainOnLabels

ALGORITHMS = (
    MapCells, MapPixels, Mosaic, SummarizeZones, Compare, Sample, Assess, TrainOnLabels,
    Status, Install,
)  # fmt: skip
