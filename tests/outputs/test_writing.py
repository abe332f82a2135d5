from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from made_map import SOUTHERN_TILE, TILE, made_map
from PIL import Image
from pyproj import Transformer

from geolulc import __version__
from geolulc.errors import OutputError, ParameterError, one_line
from geolulc.grid import TileGrid
from geolulc.nomenclature import BEN19
from geolulc.outputs import OUTPUTS, describe_map, plan_outputs, write_map
from geolulc.outputs.areas import cell_areas
from geolulc.outputs.cells import dominant_codes, mapped_cells
from geolulc.outputs.picture import north_direction, scale_bar_length

BACKDROP = (np.full((66, 54, 3), 90, np.uint8), Affine(100, 0, TILE.left, 0, -100, TILE.top))


@pytest.mark.parametrize("tile", [TILE, SOUTHERN_TILE])
def test_probabilities_read_back_where_they_belong(tmp_path: Path, tile: TileGrid) -> None:
    made = made_map(tile)
    write_map(made, tmp_path / "map.tif", outputs=["probabilities"])
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.crs.to_string() == tile.crs
        assert dataset.transform == made.grid.transform
        assert dataset.descriptions == BEN19.names
        assert set(dataset.dtypes) == {"float32"}
        assert np.isnan(dataset.nodata)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.compression.value == "DEFLATE"
        np.testing.assert_array_equal(dataset.read(), made.probabilities)
        left, bottom, right, top = made.grid.bounds(3, 1)
        value = next(dataset.sample([((left + right) / 2, (bottom + top) / 2)]))
        np.testing.assert_array_equal(value, made.probabilities[:, 3, 1])
        tags = dataset.tags()
        assert tags["SCENE_NAME"] == made.scene["name"]
        assert tags["MODEL_SHA256"] == made.model["sha256"]
        assert tags["GEOLULC_VERSION"] == __version__


def test_class_codes_read_back_with_their_colours(tmp_path: Path) -> None:
    made = made_map()
    write_map(made, tmp_path / "map.tif", outputs=["classes"])
    with rasterio.open(tmp_path / "map_classes.tif") as dataset:
        assert dataset.dtypes == ("uint8",)
        assert dataset.nodata == 0
        np.testing.assert_array_equal(dataset.read(1), dominant_codes(made))
        colors = dataset.colormap(1)
    assert {c.code: c.rgb for c in BEN19.classes} == {
        c.code: colors[c.code][:3] for c in BEN19.classes
    }
    assert not (tmp_path / "map.tif").exists()


def test_polygons_hold_every_mapped_cell_once(tmp_path: Path) -> None:
    made = made_map(seed=2)
    write_map(made, tmp_path / "map.tif", outputs=["vectors"])
    polygons = geopandas.read_file(tmp_path / "map.gpkg", layer="classes")
    assert polygons.crs.to_epsg() == 32632
    assert polygons.is_valid.all()
    assert polygons["cells"].sum() == mapped_cells(made).sum()
    assert polygons["area_ha"].sum() == cell_areas(made.grid)[mapped_cells(made)].sum()
    tile = made.grid.tile
    assert tuple(polygons.total_bounds) == (600_000.0, 5_094_600.0, 606_600.0, 5_100_000.0)
    assert polygons.area.sum() <= tile.width * tile.height
    table = pyogrio.read_dataframe(tmp_path / "map.gpkg", layer="summary")
    assert tuple(table["name"]) == BEN19.names
    by_class = polygons.groupby("name")["area_ha"].sum()
    for _, row in table.iterrows():
        assert by_class.get(row["name"], 0.0) == row["area_ha"]


def test_picture_shows_map_and_true_colour(tmp_path: Path) -> None:
    write_map(made_map(), tmp_path / "map.tif", outputs=["picture"], backdrop=BACKDROP)
    image = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).reshape(-1, 3)
    colors = {tuple(c) for c in np.unique(image, axis=0)}
    shown = set(np.unique(dominant_codes(made_map()))) - {0}
    assert {c.rgb for c in BEN19.classes if c.code in shown} <= colors
    assert (90, 90, 90) in colors


def test_names_derive_from_out() -> None:
    assert plan_outputs(Path("a/scene.v1.tif"), ["picture", "probabilities"]) == {
        "picture": Path("a/scene.v1.png"),
        "probabilities.style": Path("a/scene.v1.qml"),
        "probabilities": Path("a/scene.v1.tif"),
    }
    assert list(plan_outputs(Path("map.tif")))[-1] == "probabilities"
    with pytest.raises(ParameterError, match="GeoTIFF"):
        plan_outputs(Path("map.png"))
    with pytest.raises(ParameterError, match="maps"):
        plan_outputs(Path("map.tif"), ["maps"])


def test_existing_output_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "map.gpkg").write_text("mine")
    with pytest.raises(OutputError, match=r"map\.gpkg.*exists.*--overwrite"):
        write_map(made_map(), tmp_path / "map.tif")
    assert [p.name for p in tmp_path.iterdir()] == ["map.gpkg"]
    write_map(made_map(), tmp_path / "map.tif", overwrite=True)
    assert geopandas.read_file(tmp_path / "map.gpkg", layer="classes").crs == "EPSG:32632"


def test_a_failure_in_the_middle_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("geolulc.outputs.writing.write_vectors", fail)
    with pytest.raises(OutputError, match=r"map\.tif.*No space left"):
        write_map(made_map(), tmp_path / "map.tif")
    assert list(tmp_path.iterdir()) == []


def test_describe_map_tells_the_story(tmp_path: Path) -> None:
    made = made_map()
    write_map(made, tmp_path / "map.tif")
    story = describe_map(tmp_path / "map.tif")
    assert story["scene"] == dict(made.scene)
    assert story["model"] == dict(made.model)
    assert story["crs"] == "EPSG:32632"
    assert story["stride_m"] == 1200
    assert [b["name"] for b in story["bands"]] == list(BEN19.names)
    assert list(story["thresholds"].values()) == pytest.approx(list(made.thresholds))
    assert story["files"] == sorted(p.name for p in tmp_path.iterdir())
    assert story["mapped_cells"] == mapped_cells(made).sum()
    classes = describe_map(tmp_path / "map_classes.tif")
    assert sum(classes["area_ha_by_class"].values()) == pytest.approx(story["mapped_area_ha"])


def test_describe_map_refuses_strangers(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"none\.tif.*expected a map written by geolulc"):
        describe_map(tmp_path / "none.tif")
    with rasterio.open(
        tmp_path / "other.tif",
        "w",
        driver="GTiff",
        width=2,
        height=2,
        count=1,
        dtype="uint8",
        transform=Affine(2, 0, 0, 0, -2, 9),
        crs="EPSG:32632",
    ) as dataset:
        dataset.write(np.ones((1, 2, 2), np.uint8))
    with pytest.raises(OutputError, match="without geolulc's tags"):
        describe_map(tmp_path / "other.tif")


@pytest.mark.parametrize(
    "name", ["a$b$ \\frac{", "<b>&amp;\"'", "zero\x00 bell\x07", "中文 é", "x" * 3000]
)
def test_names_from_metadata_are_only_text(tmp_path: Path, name: str) -> None:
    scene = {**made_map().scene, "name": name, "tile": name}
    made = made_map(scene=scene, model={"name": name, "sha256": "00"})
    write_map(made, tmp_path / "map.tif", outputs=OUTPUTS, backdrop=BACKDROP)
    assert describe_map(tmp_path / "map.tif")["scene"]["name"] == one_line(name)
    read = pyogrio.read_info(tmp_path / "map.gpkg", layer="classes")["layer_metadata"]
    assert read["SCENE_NAME"] == one_line(name)
    json.loads((tmp_path / "map.json").read_text())


def test_north_and_scale_bar() -> None:
    east = TileGrid("EPSG:32632", 700_020.0, 5_000_040.0, 109_800, 109_800)
    x, y = north_direction(east)
    # convergence of the meridians (Snyder 1987, eq. 8-14, spherical): tan g = tan dl sin phi
    centre = Transformer.from_crs(east.crs, 4326, always_xy=True).transform(754_920, 4_945_140)
    longitude, latitude = np.radians(centre[0] - 9), np.radians(centre[1])
    expected = np.arctan(np.tan(longitude) * np.sin(latitude))
    assert np.arctan2(-x, y) == pytest.approx(expected, rel=0.002)
    assert x < 0 < y
    assert north_direction(SOUTHERN_TILE)[1] > 0.99
    assert [scale_bar_length(w) for w in (109_800, 6_600, 1_200)] == [20_000, 2_000, 200]
