"""Predictions on a store as polygons: where a model is right and wrong, in a GIS."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import geopandas
import numpy as np
import pandas as pd
from shapely import box

from geolulc import __version__
from geolulc.learning.evaluation import Predictions, patch_losses
from geolulc.learning.split_figures import names_where
from geolulc.outputs.layer_files import require_ending, write_layer
from geolulc.outputs.tables import class_column
from geolulc.staging import staged

_LAYER: Final = "patches"
_WGS84: Final = "EPSG:4326"


def write_footprints(predictions: Predictions, path: Path, *, overwrite: int = 0) -> None:
    """Write the footprint of each patch with its labels, decisions and probabilities.

    A GeoPackage with the layer ``patches``: name, split, country, season, date, ``labels`` and
    ``predicted`` (names, "; " between), ``missed`` and ``wrong`` (the differences), ``loss`` (mean
    binary cross-entropy) and ``p_…`` for each class. Coordinates are those of the patches where
    they share a UTM zone, else WGS 84.

    Raises:
        ParameterError: not a .gpkg.
        OutputError: it cannot be written there.
    """
    require_ending(path, [".gpkg"])
    with staged([path], overwrite=overwrite) as (partial,):
        write_layer(
            _table(predictions),
            partial,
            layer=_LAYER,
            geometry_type="Polygon",
            tags={"GEOLULC_VERSION": __version__},
        )


def _table(predictions: Predictions) -> geopandas.GeoDataFrame:
    store, indices = predictions.patches.store, predictions.patches.indices
    names, (missed, wrong) = predictions.model.net.classes, predictions.errors

    def listed(rows: np.ndarray) -> list[str]:
        return [names_where(row, names) for row in rows]

    def column(name: str) -> list[object]:
        values = store.column(name)
        return [values[i] for i in indices]

    columns: dict[str, object] = {
        "key": [store.keys[i] for i in indices],
        "split": [predictions.patches.split] * len(indices),
        **{name: column(name) for name in ("country", "season", "date", "tile")},
        "labels": listed(predictions.targets > 0.5),
        "predicted": listed(predictions.decisions),
        "missed": listed(missed),
        "wrong": listed(wrong),
        "loss": patch_losses(predictions),
    }
    for c, name in enumerate(names):
        look = store.nomenclature[name]
        columns[class_column("p_", look)] = predictions.probabilities[:, c]
    zones = np.array(column("crs"))
    left, top = (np.array(column(n), np.float64) for n in ("left", "top"))
    size = store.layout.size
    squares = box(left, top - size, left + size, top)
    target = str(zones[0]) if len(set(zones.tolist())) == 1 else _WGS84
    by_zone = geopandas.GeoSeries(squares).groupby(zones)
    geometry = pd.concat([some.set_crs(zone).to_crs(target) for zone, some in by_zone])
    return geopandas.GeoDataFrame(columns, geometry=geometry.sort_index())
