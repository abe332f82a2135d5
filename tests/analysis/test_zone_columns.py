"""Columns of zones through every format: names that clash, and values of every kind."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pytest
from shapely.geometry import box
from written_map import write_made

from geolulc.analysis import summarize_map, summarize_zones
from geolulc.analysis.zone_columns import distinct_names
from geolulc.analysis.zone_files import read_zones, write_zones
from geolulc.errors import OutputError

ENDINGS = (".gpkg", ".csv", ".parquet", ".fgb")
every_ending = pytest.mark.parametrize("ending", ENDINGS)
SQUARES = [box(600_000 + 900 * i, 5_099_000, 600_500 + 900 * i, 5_099_500) for i in range(2)]


def frame(columns: dict[Any, Any], geometry: Any = None) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(columns, geometry=geometry or SQUARES, crs=32632)


def written(zones: geopandas.GeoDataFrame, path: Path) -> pandas.DataFrame:
    write_zones(zones, path)
    read = (
        pandas.read_csv(path, dtype={"value": str}) if path.suffix == ".csv" else read_zones(path)
    )
    return read.sort_values("order").reset_index(drop=True)


@every_ending
def test_names_that_clash(tmp_path: Path, ending: str) -> None:
    columns = {
        "order": [1, 2],
        "name": ["a", "b"],
        "NAME": ["c", "d"],
        "fid": ["A1", "A1"],
        "FID": [0.5, 0.5],
        "geom": ["g", "h"],
        7: [1, 2],
        "status": ["mine", "yours"],
    }
    zones = frame(columns)
    read = written(zones, tmp_path / f"a{ending}")
    names = {"NAME": "NAME_2", "FID": "FID_2"} if ending == ".gpkg" else {}
    for name, values in columns.items():
        assert read[names.get(str(name), str(name))].tolist() == values


@every_ending
@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([{"a": 1}, {"b": [1, "é"]}], object, ['{"a": 1}', '{"b": [1, "é"]}']),
        ([np.array([1, 2]), [3]], object, ["[1, 2]", "[3]"]),
        ([[1, "x"], None], object, ['[1, "x"]', None]),
        (["a", 5], object, ["a", "5"]),
        ([b"\x00\xff", b"a"], object, ["00ff", "61"]),
        ([Decimal("1.50"), Decimal(2)], object, ["1.50", "2"]),
        ([datetime.time(1, 2), None], object, ["01:02:00", None]),
        (["\ud800", "a\0b"], object, ["\\ud800", "ab"]),
        ([2**63, 2**64 - 1], np.uint64, ["9223372036854775808", "18446744073709551615"]),
        ([1 + 2j, 3], complex, ["(1+2j)", "(3+0j)"]),
        ([1.5, 2], np.float16, [1.5, 2.0]),
        (["u", "v"], "category", ["u", "v"]),
    ],
    ids=["objects", "lists", "mixed list", "mixed", "bytes", "decimal", "time", "text", "uint64",
         "complex", "float16", "category"],
)  # fmt: skip
def test_values_of_every_kind(
    tmp_path: Path, ending: str, values: Any, dtype: Any, expected: list[Any]
) -> None:
    zones = frame({"order": [1, 2], "value": pandas.Series(values, dtype=dtype)})
    found = written(zones, tmp_path / f"a{ending}")["value"]
    if ending == ".csv":
        expected = [None if value is None else str(value) for value in expected]
    assert [None if pandas.isna(value) else value for value in found] == expected


@every_ending
def test_json_of_a_file_stays_json(tmp_path: Path, ending: str) -> None:
    write_made("cells", tmp_path / "map.tif", nodata=False)
    properties = {"order": 1, "tags": {"crop": "maize"}, "years": [2023, 2024]}
    geometry = geopandas.GeoSeries([SQUARES[0]], crs=32632).to_crs(4326).iloc[0]
    feature = {
        "type": "Feature",
        "properties": properties,
        "geometry": json.loads(geopandas.GeoSeries([geometry]).to_json())["features"][0][
            "geometry"
        ],
    }
    path = tmp_path / "zones.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    out = tmp_path / f"a{ending}"
    summarize_map(tmp_path / "map.tif", path, out)
    read = pandas.read_csv(out) if ending == ".csv" else read_zones(out)
    assert json.loads(read["tags"].iloc[0]) == {"crop": "maize"}
    assert json.loads(read["years"].iloc[0]) == [2023, 2024]


@every_ending
def test_zones_without_geometry_are_written(tmp_path: Path, ending: str) -> None:
    zones = frame({"order": [1, 2]}, [SQUARES[0], None])
    read = written(zones, tmp_path / f"a{ending}")
    assert read["order"].tolist() == [1, 2]
    assert ending == ".csv" or read.geometry.isna().tolist() == [False, True]


@pytest.mark.parametrize("ending", [".gpkg", ".parquet", ".fgb"])
def test_results_come_back_as_zones(tmp_path: Path, ending: str) -> None:
    made = write_made("cells", tmp_path / "map.tif", nodata=False)
    zones: Any = tmp_path / "zones.gpkg"
    frame({"STATUS": ["a", "b"]}).to_file(zones)
    for turn in range(3):
        out = tmp_path / f"out{turn}{ending}"
        found = summarize_map(made.path, zones, out)
        assert found["status"].tolist() == ["mapped", "mapped"]
        zones = out
    assert sorted(found["STATUS_zone"]) == ["a", "b"]
    assert found["status_zone"].tolist() == found["status_zone_2"].tolist() == ["mapped"] * 2


def test_columns_of_one_name_and_rows_of_one_number(tmp_path: Path) -> None:
    made = write_made("cells", tmp_path / "map.tif", nodata=False)
    zones = frame({"a": [1, 2]})
    zones.insert(1, "a", [3, 4], allow_duplicates=True)
    zones.index = [5, 5]
    found = summarize_zones(made.path, zones)
    assert found["a"].tolist() == [1, 2]
    assert found["a_2"].tolist() == [3, 4]


def test_more_columns_than_a_geopackage_holds(tmp_path: Path) -> None:
    zones = frame(pandas.DataFrame(np.zeros((2, 2_000)), columns=[f"c{i}" for i in range(2_000)]))
    with pytest.raises(OutputError, match=r"2,000 columns; expected at most 1,998 .*\.csv"):
        write_zones(zones, tmp_path / "a.gpkg")
    write_zones(zones.iloc[:, 2:], tmp_path / "a.gpkg")
    assert len(read_zones(tmp_path / "a.gpkg").columns) == 1_999


def test_names_are_made_distinct() -> None:
    assert distinct_names(["a", "a", "A", "a_2"]) == ["a", "a_2", "A", "a_2_2"]
    assert distinct_names(["a", "A"], any_case=True) == ["a", "A_2"]
    assert distinct_names(["b"], ["b", "b_2"]) == ["b_3"]
