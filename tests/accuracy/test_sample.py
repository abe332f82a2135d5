from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyogrio
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from defusedxml import ElementTree
from made_reference import write_class_file, write_classes
from written_map import write_made

from geolulc.accuracy import SampleOptions, assess_map, draw_sample
from geolulc.accuracy.classified import open_classified
from geolulc.accuracy.design import allocate, expected_error, needed_points
from geolulc.accuracy.drawing import draw_stratified, frame_of
from geolulc.cli import cli
from geolulc.errors import OutputError, ParameterError

OLOFSSON_SHARES = np.array([0.02, 0.015, 0.32, 0.645])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of 300 × 400 pixels of three classes, the rare one in a strip, and its truth."""
    path = tmp_path_factory.mktemp("map")
    codes = np.where(np.arange(400) < 250, 10, 20) * np.ones((300, 1), int)
    codes[:, 390:] = 30
    codes[:20, :20] = 0
    write_classes(path / "map.tif", codes.astype(np.uint8))
    rng = np.random.default_rng(2)
    truth = np.where(rng.random(codes.shape) < 0.2, rng.choice([10, 20, 30], codes.shape), codes)
    write_classes(path / "truth.tif", np.where(codes == 0, 0, truth).astype(np.uint8))
    write_class_file(path / "classes.toml", ("Wood", "Field", "Water"))
    return path


def read_points(path: Path) -> Any:
    """The points of any file as a GeoDataFrame in the map's CRS."""
    if path.suffix == ".csv":
        table = pandas.read_csv(path)
        places = geopandas.points_from_xy(table.longitude, table.latitude, crs=4326)
        return geopandas.GeoDataFrame(table, geometry=places).to_crs(3035)
    return geopandas.GeoDataFrame(pyogrio.read_dataframe(path, layer="points")).to_crs(3035)


def values_at(path: Path, points: Any) -> Any:
    with rasterio.open(path) as dataset:
        places = zip(points.geometry.x, points.geometry.y, strict=True)
        return np.array([value[0] for value in dataset.sample(places)])


def draw(folder: Path, out: Path, **options: Any) -> Any:
    """Draw points, and give each the truth as its reference; returns them."""
    chosen = SampleOptions(**options)
    draw_sample(folder / "map.tif", out, chosen, classes=folder / "classes.toml")
    points = read_points(out)
    points["reference"] = values_at(folder / "truth.tif", points).astype(str)
    if out.suffix == ".csv":
        pandas.DataFrame(points.drop(columns="geometry")).to_csv(out, index=False)
    else:
        out.unlink()
        driver = "LIBKML" if out.suffix == ".kml" else None
        places = points.to_crs(4326) if out.suffix in (".kml", ".geojson") else points
        pyogrio.write_dataframe(places, out, layer="points", driver=driver)
    return points


def test_size_of_the_worked_example_of_olofsson() -> None:
    # section 5.1.1: expected user's accuracies, a standard error of 0.01: 641 points
    users = np.array([0.7, 0.6, 0.9, 0.95])
    deviations = np.sqrt(users * (1 - users))
    assert needed_points(OLOFSSON_SHARES, deviations, 0.01, 10_000_000) == 641
    proportional = allocate(641, OLOFSSON_SHARES, deviations, np.full(4, 10**6), "proportional", 2)
    assert proportional.tolist() == [13, 10, 205, 413]
    assert expected_error(OLOFSSON_SHARES, deviations, proportional) == pytest.approx(
        0.0102, abs=1e-4
    )
    # one of the table's: 75 in each rare class, the rest by area
    at_least = allocate(641, OLOFSSON_SHARES, deviations, np.full(4, 10**6), "proportional", 75)
    assert at_least.tolist() == [75, 75, 163, 328]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("equal", [25, 25, 25, 25]), ("neyman", [3, 3, 34, 60]), ("proportional", [2, 2, 32, 64])],
)
def test_allocations(rule: Any, expected: list[int]) -> None:
    deviations = np.sqrt(np.array([0.7, 0.6, 0.9, 0.95]) * np.array([0.3, 0.4, 0.1, 0.05]))
    found = allocate(100, OLOFSSON_SHARES, deviations, np.full(4, 10**6), rule, 2)
    if rule == "neyman":
        exact = OLOFSSON_SHARES * deviations
        expected = (100 * exact / exact.sum()).tolist()
    assert found.sum() == 100
    np.testing.assert_allclose(found, expected, atol=1)


def test_no_stratum_has_more_points_than_pixels() -> None:
    shares, deviations = np.array([0.001, 0.999]), np.array([0.4, 0.4])
    found = allocate(100, shares, deviations, np.array([5, 4995]), "equal", 20)
    assert found.tolist() == [5, 95]
    assert allocate(100, shares, deviations, np.array([5, 30]), "equal", 20).tolist() == [5, 30]


@pytest.mark.parametrize("ending", [".gpkg", ".geojson", ".kml", ".csv"])
def test_points_keep_their_design_in_every_file(folder: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"points{ending}"
    points = draw(folder, out, size=150, least=40)
    assert Counter(points["stratum"]) == {"Wood": 70, "Field": 40, "Water": 40}
    with rasterio.open(folder / "map.tif") as dataset:
        codes = dataset.read(1)
    names = {10: "Wood", 20: "Field", 30: "Water"}
    here = values_at(folder / "map.tif", points)
    assert [names[c] for c in here] == points["map_class"].tolist() == points["stratum"].tolist()
    for code, name in names.items():
        mine = points[points["stratum"] == name]
        pixels = (codes == code).sum()
        assert set(mine["stratum_units"].astype(int)) == {pixels}
        assert mine["stratum_ha"].astype(float).iloc[0] == pytest.approx(pixels * 0.09, rel=1e-6)
        share = mine["inclusion_probability"].astype(float)
        assert share.iloc[0] == pytest.approx(len(mine) / pixels)
    _, found = assess_map(
        folder / "map.tif", out, tmp_path / "out", classes=folder / "classes.toml"
    )
    assert found["design"]["stored"] is True
    assert found["design"]["kind"] == "stratified"
    right = values_at(folder / "truth.tif", points) == here
    shares = {name: (codes == code).sum() / (codes > 0).sum() for code, name in names.items()}
    overall = sum(
        shares[name] * right[(points["stratum"] == name).to_numpy()].mean() for name in shares
    )
    assert found["overall"]["estimate"] == pytest.approx(overall, rel=1e-6)


@pytest.mark.parametrize("design", ["simple", "systematic", "cluster", "stratified"])
def test_estimates_of_each_design_are_near_the_truth(
    folder: Path, tmp_path: Path, design: Any
) -> None:
    options = {"cluster_side": 600.0, "cluster_points": 8} if design == "cluster" else {}
    out = tmp_path / "points.csv"
    points = draw(folder, out, design=design, size=800, seed=4, **options)
    _, found = assess_map(
        folder / "map.tif", out, tmp_path / "out", classes=folder / "classes.toml"
    )
    with (
        rasterio.open(folder / "map.tif") as first,
        rasterio.open(folder / "truth.tif") as second,
    ):
        codes, truth = first.read(1), second.read(1)
    exact = (codes == truth)[codes > 0].mean()
    error = found["overall"]["standard_error"]
    assert 0 < error < 0.03
    assert abs(found["overall"]["estimate"] - exact) < 3 * error
    area = found["area_ha"]["Field"]
    assert abs(area["estimate"] - (truth == 20).sum() * 0.09) < 3 * area["standard_error"]
    assert found["design"]["kind"] == design
    if design == "systematic":
        columns = ((points.geometry.x - 4_000_000) // 30).astype(int)
        assert set(np.diff(sorted(set(columns)))) == {12}
        assert set(points["inclusion_probability"].round(8)) == {round(1 / 144, 8)}
    elif design == "cluster":
        assert points["cluster"].nunique() == 100
        for _, mine in points.groupby("cluster"):
            west, south, east, north = mine.total_bounds
            assert max(east - west, north - south) < 600
        assert set(points["inclusion_probability"].round(6)) == {round(100 / 299 * 8 / 400, 6)}
    elif design == "simple":
        assert len(points) == 800
        assert points["inclusion_probability"].iloc[0] == pytest.approx(800 / (codes > 0).sum())


def test_every_pixel_is_drawn_as_often_as_its_probability_says(tmp_path: Path) -> None:
    codes = np.ones((12, 12), np.uint8)
    codes[:, 8:] = 2
    path = write_classes(tmp_path / "map.tif", codes)
    count = np.zeros((12, 12))
    rng = np.random.default_rng(8)
    with open_classified(path) as classified:
        frame = frame_of(classified, classified)
        for _ in range(300):
            drawn = draw_stratified(classified, classified, frame, np.array([12, 12]), rng)
            np.add.at(count, (drawn.row, drawn.column), 1)
    for code, pixels in ((1, 96), (2, 48)):
        expected = 300 * 12 / pixels
        squares = ((count[codes == code] - expected) ** 2 / expected).sum()
        # χ² with as many degrees of freedom as pixels, less one, and 5 standard deviations
        assert squares < pixels + 5 * np.sqrt(2 * pixels)
        assert count[codes == code].min() > 0


def test_a_seed_draws_the_same_points_again(folder: Path, tmp_path: Path) -> None:
    texts = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        draw_sample(folder / "map.tif", tmp_path / f"{name}.csv", SampleOptions(size=80, seed=seed))
        texts.append((tmp_path / f"{name}.csv").read_text(encoding="utf-8"))
    assert texts[0] == texts[1] != texts[2]


def test_points_keep_a_distance_or_say_that_they_cannot(folder: Path, tmp_path: Path) -> None:
    options = SampleOptions(size=90, distance=300.0)
    draw_sample(folder / "map.tif", tmp_path / "p.gpkg", options)
    places = read_points(tmp_path / "p.gpkg").geometry
    apart = places.apply(lambda point: np.sort(places.distance(point))[1])
    assert apart.min() > 297  # an equal-area projection keeps no lengths
    with pytest.raises(
        ParameterError, match=r"stratum 30: found room for \d+ of 20 points with 900"
    ):
        draw_sample(folder / "map.tif", tmp_path / "q.gpkg", SampleOptions(size=90, distance=900.0))
    with pytest.raises(ParameterError, match="a distance in simple and stratified"):
        SampleOptions(design="systematic", distance=10.0)


@pytest.mark.parametrize("kind", ["raster", "polygons"])
def test_strata_of_their_own(folder: Path, tmp_path: Path, kind: str) -> None:
    # north and south; nothing is drawn from the rows between
    if kind == "raster":
        strata = write_classes(
            tmp_path / "strata.tif",
            np.repeat(np.array([7, 0, 9], np.uint8), [100, 100, 100])[:, None].repeat(400, 1),
        )
        names = {"7", "9"}
    else:
        strata, names = tmp_path / "strata.gpkg", {"north", "south"}
        top = 3_000_000
        boxes = [
            shapely.box(4_000_000, top - 3000, 4_012_000, top),
            shapely.box(4_000_000, top - 9000, 4_012_000, top - 6000),
        ]
        frame = geopandas.GeoDataFrame(
            {"part": ["north", "south"], "other": [1, 2]}, geometry=boxes, crs=3035
        )
        frame.to_crs(4326).to_file(strata)
    out = tmp_path / "p.gpkg"
    field = "part" if kind == "polygons" else None
    _, design = draw_sample(
        folder / "map.tif", out, SampleOptions(size=400, allocation="equal"),
        classes=folder / "classes.toml", strata=strata, strata_field=field,
    )  # fmt: skip
    assert {s["name"]: s["pixels"] for s in design["strata"]} == dict(
        zip(sorted(names), [40_000 - 400, 40_000], strict=True)
    )
    points = read_points(out)
    points["reference"] = values_at(folder / "truth.tif", points).astype(str)
    rows = ((3_000_000 - points.geometry.y) // 30).astype(int)
    assert Counter(zip(points["stratum"], rows // 100, strict=True)) == dict.fromkeys(
        zip(sorted(names), (0, 2), strict=True), 200
    )
    out.unlink()
    points.to_file(out, layer="points")
    _, found = assess_map(
        folder / "map.tif", out, tmp_path / "out", classes=folder / "classes.toml"
    )
    assert found["design"]["strata"] == 2
    assert any("in no stratum with a point" in remark for remark in found["remarks"])
    right = points["reference"].astype(int) == values_at(folder / "map.tif", points)
    means = right.groupby(points["stratum"]).mean()
    expected = (means.iloc[0] * 39_600 + means.iloc[1] * 40_000) / 79_600
    assert found["overall"]["estimate"] == pytest.approx(expected, rel=1e-6)


def test_the_geopackage_is_ready_to_be_filled_in(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "points.gpkg"
    _, design = draw_sample(
        folder / "map.tif", out, SampleOptions(size=80), classes=folder / "classes.toml"
    )
    assert {name for name, _ in pyogrio.list_layers(out)} >= {"points", "outlines"}
    metadata = pyogrio.read_info(out, layer="points")["layer_metadata"]
    assert json.loads(metadata["GEOLULC_SAMPLE"])["strata"] == design["strata"]
    outlines = geopandas.read_file(out, layer="outlines").set_index("point")
    points = read_points(out).set_index("point")
    assert outlines.geometry.area.to_numpy() == pytest.approx(900)
    assert outlines.geometry.contains(points.geometry).all()
    assert points["reference"].isna().all()
    with sqlite3.connect(out) as database:
        styles = dict(database.execute("SELECT f_table_name, styleQML FROM layer_styles"))
    database.close()
    style = ElementTree.fromstring(styles["points"])
    widgets = {f.get("name"): f.find("editWidget") for f in style.find("fieldConfiguration")}
    assert set(widgets) == set(points.columns) - {"geometry"} | {"point", "fid"}
    options = widgets["reference"].findall(".//Option[@type='QString']")
    assert [o.get("name") for o in options] == ["(not yet)", "Wood", "Field", "Water"]
    hidden = {name for name, widget in widgets.items() if widget.get("type") == "Hidden"}
    assert hidden == {
        "fid", "map_class", "design", "stratum", "cluster", "stratum_units", "stratum_ha",
        "inclusion_probability",
    }  # fmt: skip
    columns = style.findall("attributetableconfig/columns/column")
    assert {c.get("name") for c in columns if c.get("hidden") == "1"} == hidden


def test_cells_have_a_box_for_each_class(tmp_path: Path) -> None:
    made = write_made("cells", tmp_path / "map.tif", stride=600)
    out = tmp_path / "points.gpkg"
    draw_sample(made.path, out, SampleOptions(size=30, least=2, design="simple"))
    points = geopandas.GeoDataFrame(pyogrio.read_dataframe(out, layer="points"))
    ticks = [c for c in points.columns if c.startswith("is_")]
    assert len(ticks) == len(made.header.classes)
    points[ticks] = points[ticks].astype("boolean")
    points.loc[:19, ticks[0]] = True
    points.loc[5:9, ticks[1]] = True
    out.unlink()
    pyogrio.write_dataframe(points, out, layer="points")
    _, found = assess_map(made.path, out, tmp_path / "out")
    assert found["several_classes"] is True
    assert found["points"]["used"] == 20
    assert found["points"]["unlabelled"] == 10
    names = found["matrix"]["classes"]
    for k, total in ((0, 20), (1, 5)):
        (both, _), (missed, _) = found["matrix"]["counts"][names.index(made.header.classes[k])]
        assert both + missed == total
    assert found["area_ha"][made.header.classes[0]]["estimate"] == pytest.approx(found["mapped_ha"])


def test_the_command_says_what_it_drew_and_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    command = ["sample", str(folder / "map.tif"), "--out", str(tmp_path / "p.gpkg"), "-q"]
    run = CliRunner().invoke(
        cli, [*command, "--size", "90", "--json", "--expected", "0.9", "--expected", "30=0.6"]
    )
    assert run.exit_code == 0, run.output
    found = json.loads(run.stdout)
    assert found["points"] == 90
    assert found["design"]["expected_by_name"] == {"30": 0.6}
    assert found["remarks"] == []
    run = CliRunner().invoke(cli, [*command, "--overwrite", "--size", "90", "--distance", "300"])
    assert "note: With a distance between points, pixels are drawn with prob" in run.stdout
    for options, expected in (
        (["--size", "30"], "30 points for 3 strata of 20 or more; expected at least 60"),
        (["--expected", "Wald=0.5"], "stratum 'Wald'"),
        (["--design", "cluster"], "none for a cluster sample"),
        (["--standard-error", "2"], "standard_error: found 2.0"),
        (["--size", "1"], "size: found 1"),
    ):
        failed = CliRunner().invoke(cli, [*command, "--overwrite", *options])
        assert expected in str(failed.exception), failed.output
    assert CliRunner().invoke(cli, [*command, "--expected", "much"]).exit_code == 2
    with pytest.raises(OutputError, match="it exists"):
        draw_sample(folder / "map.tif", tmp_path / "p.gpkg")
    with pytest.raises(ParameterError, match=r"the ending '\.shp'"):
        draw_sample(folder / "map.tif", tmp_path / "p.shp")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("stratum_ha", 3.0, "several values of stratum_ha in one stratum"),
        ("stratum_ha", None, "stratum_ha missing"),
        ("design", "simple", "design: simple, stratified"),
    ],
)
def test_changed_designs_are_refused(
    folder: Path, tmp_path: Path, column: str, value: Any, message: str
) -> None:
    out = tmp_path / "points.csv"
    points = draw(folder, out, size=80)
    points.loc[3, column] = value
    pandas.DataFrame(points.drop(columns="geometry")).to_csv(out, index=False)
    with pytest.raises(ParameterError, match=message):
        assess_map(folder / "map.tif", out, tmp_path / "out", classes=folder / "classes.toml")


def test_own_points_are_left_out_of_a_drawn_sample(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "points.csv"
    points = draw(folder, out, size=80)
    own = points.iloc[:5].assign(stratum=None, design=None)
    pandas.DataFrame(pandas.concat([points, own]).drop(columns="geometry")).to_csv(out, index=False)
    _, found = assess_map(
        folder / "map.tif", out, tmp_path / "out", classes=folder / "classes.toml"
    )
    assert found["points"]["used"] == 80
    assert any("5 labelled points without a stratum" in remark for remark in found["remarks"])


def test_a_scene_lies_beside_the_points_and_in_the_report(shared: Path, tmp_path: Path) -> None:
    (scene,) = (shared / "data" / "scenes").glob("*.SAFE")
    with rasterio.open(next(scene.glob("GRANULE/*/IMG_DATA/R10m/*TCI_10m.jp2"))) as image:
        crs, transform, shape = image.crs.to_string(), image.transform, image.shape
        colours = image.read()
    codes = np.where(np.indices(shape)[1] < 500, 1, 2).astype(np.uint8)
    path = write_classes(tmp_path / "map.tif", codes, crs=crs, transform=transform)
    out = tmp_path / "points.csv"
    paths, _ = draw_sample(path, out, SampleOptions(size=40), scene=scene)
    assert paths["truecolour"] == tmp_path / "points_truecolour.tif"
    with rasterio.open(paths["truecolour"]) as image:
        assert (image.crs.to_string(), image.transform) == (crs, transform)
        np.testing.assert_array_equal(image.read(), colours)
    points = pandas.read_csv(out)
    points["reference"] = 1
    points.to_csv(out, index=False)
    files, _ = assess_map(path, out, tmp_path / "out")
    wrong = int((points["map_class"] == 2).sum())
    assert files["html"].read_text(encoding="utf-8").count("data:image/jpeg") == wrong > 0


@pytest.mark.parametrize("ending", [".gpkg", ".geojson", ".kml", ".csv"])
def test_points_of_geolulc_may_be_replaced(folder: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"points{ending}"
    for seed in (1, 2):
        options = SampleOptions(size=60, seed=seed)
        draw_sample(folder / "map.tif", out, options, overwrite=1)
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="a file that geolulc did not write"):
        draw_sample(folder / "map.tif", out, overwrite=1)
