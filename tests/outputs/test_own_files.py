"""geolulc knows all files that it wrote, and none that somebody has added something to."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import geopandas
import pyogrio
import pytest
from made_map import made_map, save_map
from made_pixel_map import made_pixel_map
from shapely import box

from geolulc.errors import OutputError
from geolulc.ownership import ANY, OWN, is_own_file


@pytest.mark.parametrize("vector_format", ["gpkg", "parquet", "flatgeobuf"])
@pytest.mark.parametrize("made", [made_map, made_pixel_map], ids=["cells", "pixels"])
def test_all_files_of_a_map_are_known(tmp_path: Path, made, vector_format: str) -> None:
    """So that one --overwrite replaces them."""
    whole, out = made(), tmp_path / "map.tif"
    options = {"report": True, "vector_format": vector_format}
    files = save_map(whole, out, **options)
    assert len(files) > 8
    assert [path for path in files.values() if not is_own_file(path, files.values())] == []
    assert save_map(whole, out, **options, overwrite=OWN) == files


@pytest.mark.parametrize("added", ["a layer", "a project"])
def test_a_geopackage_with_something_more_is_another_s(tmp_path: Path, added: str) -> None:
    out = tmp_path / "map.tif"
    save_map(made_map(), out, "probabilities", "vectors")
    path = out.with_suffix(".gpkg")
    if added == "a layer":
        fields = geopandas.GeoDataFrame({"n": [1]}, geometry=[box(0, 0, 1, 1)], crs=32632)
        pyogrio.write_dataframe(fields, path, layer="fields", driver="GPKG")
    else:  # as QGIS saves it
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE qgis_projects (name TEXT, content BLOB)")
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"map\.gpkg: .*geolulc did not write.*twice"):
        save_map(made_map(), out, "probabilities", "vectors", overwrite=OWN)
    # nor does it go as a file that the new map has not
    save_map(made_map(), out, "probabilities", overwrite=OWN)
    assert path.read_bytes() == before
    save_map(made_map(), out, "probabilities", "vectors", overwrite=ANY)
    assert set(pyogrio.list_layers(path)[:, 0]) == {"classes", "cells", "summary", "layer_styles"}
