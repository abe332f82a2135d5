from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pytest
import shapely
from affine import Affine
from click.testing import CliRunner
from made_reference import (
    CHANGE_CLASSES,
    OLOFSSON,
    write_class_file,
    write_classes,
    write_points,
    write_worked_example,
)
from pyproj import Geod
from written_map import write_made

from geolulc.accuracy import SampleOptions, assess_map, draw_sample
from geolulc.analysis import compare_files, describe_map
from geolulc.cli import cli
from geolulc.errors import OutputError, ParameterError


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Three classes in thirds of 60 × 50 pixels, without names."""
    codes = np.repeat(np.array([1, 2, 5], np.uint8), 1000).reshape(60, 50)
    return write_classes(tmp_path / "small.tif", codes)


def ten_each(right: int = 8) -> list[tuple[int, Any]]:
    """Points of ``small``: of ten in each class ``right`` agree, the others are 1, or 2."""
    classes = (1, 2, 5)
    return [
        (1000 * k + 7 * i, code if i < right else (1 if code != 1 else 2))
        for k, code in enumerate(classes)
        for i in range(10)
    ]


def test_the_worked_example_from_files_to_its_last_digit(tmp_path: Path) -> None:
    path, classes, reference = write_worked_example(tmp_path)
    command = ["assess", str(path), "--reference", str(reference), "--classes", str(classes)]
    run = CliRunner().invoke(cli, [*command, "--out", str(tmp_path / "accuracy"), "--json", "-q"])
    assert run.exit_code == 0, run.output
    found = json.loads(run.stdout)

    def printed(estimates: Any, digits: int) -> list[str]:
        return [f"{e['estimate']:,.{digits}f} ± {e['ci95']:,.{digits}f}" for e in estimates]

    assert printed([found["overall"]], 3) == ["0.947 ± 0.018"]
    assert tuple(found["users"]) == CHANGE_CLASSES
    assert printed(found["users"].values(), 3) == [
        "0.880 ± 0.074", "0.733 ± 0.101", "0.927 ± 0.040", "0.963 ± 0.021",
    ]  # fmt: skip
    assert printed(found["producers"].values(), 3) == [
        "0.749 ± 0.213", "0.847 ± 0.254", "0.935 ± 0.034", "0.962 ± 0.018",
    ]  # fmt: skip
    assert printed(found["area_ha"].values(), 0) == [
        "21,158 ± 6,158", "11,686 ± 3,756", "285,770 ± 15,510", "581,386 ± 16,282",
    ]  # fmt: skip
    assert found["matrix"]["counts"] == OLOFSSON.tolist()
    assert found["area_ha"]["Deforestation"]["counted"] == pytest.approx(18_000, rel=1e-6)
    assert found["design"]["stored"] is False
    assert "stratified by the map's classes" in found["design"]["words"]
    saved = json.loads((tmp_path / "accuracy" / "accuracy.json").read_text(encoding="utf-8"))
    assert saved["overall"] == found["overall"]
    with (tmp_path / "accuracy" / "estimates.csv").open(encoding="utf-8") as stream:
        rows = {(r["measure"], r["class"]): r for r in csv.DictReader(stream)}
    assert float(rows["users", "Forest gain"]["ci95"]) == found["users"]["Forest gain"]["ci95"]
    page = (tmp_path / "accuracy" / "accuracy.html").read_text(encoding="utf-8")
    assert "Overall accuracy: 0.947 ± 0.018" in page
    assert page.count("<figure>") == 48
    text = (tmp_path / "accuracy" / "accuracy.md").read_text(encoding="utf-8")
    assert "| Deforestation | 21,157.8 ± 6,157.6 | 18,000.0 |" in text
    assert "Kappa is not shown" in text


def test_codes_another_field_and_kappa(tmp_path: Path, small: Path) -> None:
    reference = write_points(tmp_path / "points.csv", small, ten_each(), field="label")
    _, found = assess_map(small, reference, tmp_path / "out", field="label", kappa=True)
    assert list(found["users"]) == ["1", "2", "5"]
    assert found["users"]["5"]["estimate"] == pytest.approx(0.8, abs=1e-6)
    assert found["kappa"] == pytest.approx(0.7, abs=0.01)
    with pytest.raises(ParameterError, match=r"a column 'reference'.*--field"):
        assess_map(small, reference, tmp_path / "again")


def test_a_second_class_that_is_right_counts(tmp_path: Path, small: Path) -> None:
    reference = write_points(tmp_path / "points.csv", small, ten_each())
    table = pandas.read_csv(reference)
    table["alternative"] = [5 if i == 29 else None for i in range(30)]
    table.to_csv(reference, index=False)
    _, found = assess_map(small, reference, tmp_path / "out")
    assert found["users"]["5"]["estimate"] == pytest.approx(0.9, abs=1e-6)
    assert found["area_ha"]["5"]["estimate"] == pytest.approx(0.8 * 90, rel=1e-5)


def test_points_in_degrees_and_in_other_files(tmp_path: Path, small: Path) -> None:
    reference = write_points(tmp_path / "points.csv", small, ten_each())
    table = pandas.read_csv(reference)
    places = geopandas.points_from_xy(table.pop("x"), table.pop("y"), crs="EPSG:3035")
    frame = geopandas.GeoDataFrame(table, geometry=places).to_crs(4326)
    files = [tmp_path / name for name in ("p.gpkg", "p.geojson", "p.shp", "degrees.csv")]
    for path in files[:3]:
        frame.to_file(path)
    table.assign(lon=frame.geometry.x, lat=frame.geometry.y).to_csv(files[3], index=False)
    expected = assess_map(small, reference, tmp_path / "out")[1]
    for path in files:
        found = assess_map(small, path, tmp_path / "out", overwrite=True)[1]
        assert found["matrix"] == expected["matrix"], path
        assert found["points"]["used"] == 30


def test_what_cannot_be_used_is_said(tmp_path: Path, small: Path) -> None:
    points = [*ten_each(right=10)[:21], (2990, None)]
    reference = write_points(tmp_path / "points.csv", small, points)
    table = pandas.read_csv(reference)
    table.loc[len(table)] = [0.0, 0.0, 1]
    table.to_csv(reference, index=False)
    found = assess_map(small, reference, tmp_path / "out")[1]
    assert found["points"] == {"in_file": 23, "unlabelled": 1, "used": 21, "on_no_data": 1}
    text = "\n".join(found["remarks"])
    assert "Points without a reference: 1" in text
    assert "1 strata have one point" in text
    assert "All points agree, or none, on 1, 2" in text
    assert found["overall"]["standard_error"] is None
    assert found["users"]["5"] == {
        "estimate": pytest.approx(1), "standard_error": None, "ci95": None,
    }  # fmt: skip


def test_a_class_without_a_point_is_named(tmp_path: Path, small: Path) -> None:
    reference = write_points(tmp_path / "points.csv", small, ten_each()[:20])
    found = assess_map(small, reference, tmp_path / "out")[1]
    text = "\n".join(found["remarks"])
    assert "No point lies on the map's class 5 (90.0 ha)" in text
    assert "90.0 ha of the map are in no stratum with a point" in text
    assert found["users"]["5"]["estimate"] is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([(0, "Wald"), (1, 1)], "'Wald' in the column 'reference'.*nearest"),
        ([(0, None), (1, None)], "no labelled point"),
        ([(0, 3)], "'3' in the column"),
    ],
)
def test_wrong_references_are_refused(
    tmp_path: Path, small: Path, values: list[tuple[int, Any]], message: str
) -> None:
    reference = write_points(tmp_path / "points.csv", small, values)
    with pytest.raises(ParameterError, match=message):
        assess_map(small, reference, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_wrong_files_are_refused(tmp_path: Path, small: Path) -> None:
    reference = write_points(tmp_path / "points.csv", small, ten_each())
    for path in (tmp_path / "none.csv", tmp_path / "none.gpkg"):
        with pytest.raises(
            ParameterError, match=r"none.*[Nn]o such file.*expected a .*(layer|vector)"
        ):
            assess_map(small, path, tmp_path / "out")
    with pytest.raises(OutputError, match=r"none\.tif"):
        assess_map(tmp_path / "none.tif", reference, tmp_path / "out")
    broken = write_classes(tmp_path / "f.tif", np.full((4, 4), 0.5, np.float32))
    with pytest.raises(OutputError, match=r"fractions \(0\.5\)"):
        assess_map(broken, reference, tmp_path / "out")
    many = write_classes(tmp_path / "m.tif", np.arange(900, dtype=np.int16).reshape(30, 30))
    with pytest.raises(OutputError, match="more than 256 values"):
        assess_map(many, reference, tmp_path / "out")
    classes = write_class_file(tmp_path / "classes.toml")
    with pytest.raises(OutputError, match="the codes 1, 2, 5; expected codes of"):
        assess_map(small, reference, tmp_path / "out", classes=classes)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(OutputError, match="something that is no accuracy"):
        assess_map(small, reference, tmp_path / "out", overwrite=True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("code = 20", "code = 10", "the code 10 twice"),
        ("code = 20", 'code = "20"', "code: '20'; expected a whole number"),
        ("#000002", "red", "color: 'red'"),
        ("code = 20", "code = 20\nkode = 3", "'kode'"),
        ('id = "made"', "", "id: nothing"),
        ("[[classes]]", "[[", "expected a nomenclature: a TOML file"),
    ],
)
def test_wrong_nomenclatures_are_refused(
    tmp_path: Path, small: Path, old: str, new: str, message: str
) -> None:
    path = write_class_file(tmp_path / "classes.toml")
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    reference = write_points(tmp_path / "points.csv", small, ten_each())
    with pytest.raises(ParameterError, match=f"classes.toml.*{message}"):
        assess_map(small, reference, tmp_path / "out", classes=path)


def test_areas_of_a_raster_in_degrees(tmp_path: Path) -> None:
    # 10 rows from 60° to 50° N, which are the smaller, the farther north they lie
    codes = np.repeat(np.arange(1, 11, dtype=np.uint8), 10).reshape(10, 10)
    path = write_classes(
        tmp_path / "d.tif", codes, crs="EPSG:4326", transform=Affine(1, 0, 5, 0, -1, 60)
    )
    points = [(10 * row + i, row + 1) for row in range(10) for i in (0, 5)]
    reference = write_points(tmp_path / "points.csv", path, points)
    found = assess_map(path, reference, tmp_path / "out")[1]
    for row, values in enumerate(found["area_ha"].values()):
        box = shapely.segmentize(shapely.box(5, 59 - row, 15, 60 - row), 0.01)
        exact = abs(Geod(ellps="WGS84").geometry_area_perimeter(box)[0]) / 1e4
        assert values["counted"] == pytest.approx(exact, rel=1e-6)
        assert values["estimate"] == pytest.approx(exact, rel=1e-6)


def test_a_map_of_geolulc_remembers_its_accuracy(tmp_path: Path) -> None:
    made = write_made("pixels", tmp_path / "map.tif")
    with_data = np.flatnonzero(made.codes.ravel())[::70]
    names, index = made.header.classes, made.index.ravel()
    points = [(int(i), names[index[i]]) for i in with_data]
    reference = write_points(tmp_path / "points.csv", made.path, points)
    paths, found = assess_map(made.path, reference, tmp_path / "out")
    assert found["overall"]["estimate"] == pytest.approx(1)
    assert found["mapped_ha"] == pytest.approx(made.areas[made.mapped].sum())
    assert paths["record"] == tmp_path / "map_accuracy.json"
    assert describe_map(made.path)["accuracy"]["overall"] == found["overall"]
    run = CliRunner().invoke(cli, ["info", str(made.path)])
    assert "accuracy" in run.output
    # what a GIS says beside it makes no other map of it
    side = "<PAMDataset><Metadata><MDI key='AREA_OR_POINT'>Point</MDI></Metadata></PAMDataset>"
    (tmp_path / "map.tif.aux.xml").write_text(side)
    assert describe_map(made.path)["accuracy"]["overall"] == found["overall"]
    # another map of this name is another map
    write_made("pixels", tmp_path / "other.tif", seed=3)
    (tmp_path / "other.tif").replace(made.path)
    assert "accuracy" not in describe_map(made.path)


def test_several_classes_of_a_cell(tmp_path: Path) -> None:
    made = write_made("cells", tmp_path / "map.tif", stride=600)
    shares = made.probabilities.reshape(len(made.header.classes), -1)
    reached = shares >= made.header.presence_thresholds[:, None]
    names = np.array(made.header.classes, dtype=object)
    cells = [int(i) for i in np.flatnonzero(made.mapped.ravel()) if reached[:, i].any()]
    # the truth lacks each cell's first class, where there is another
    truth = {i: names[reached[:, i]][1:] for i in cells if reached[:, i].sum() > 1}
    points = [(i, "; ".join(found)) for i, found in truth.items()]
    reference = write_points(tmp_path / "points.csv", made.path, points)
    _, found = assess_map(made.path, reference, tmp_path / "out")
    assert found["several_classes"] is True
    assert found["overall"]["estimate"] == 0
    for k, name in enumerate(names):
        if name not in found["matrix"]["classes"]:
            continue
        inside = np.array(list(truth))
        ((both, extra), (missed, neither)) = found["matrix"]["counts"][
            found["matrix"]["classes"].index(name)
        ]
        true = np.array([name in truth[i] for i in truth])
        assert both == (reached[k, inside] & true).sum()
        assert extra == (reached[k, inside] & ~true).sum()
        assert missed == 0
        assert both + extra + neither == len(truth)
        assert found["producers"][name]["estimate"] in (None, pytest.approx(1))
        assert (
            found["false_alarm"][name]["estimate"] is None
            or extra == 0
            or (found["false_alarm"][name]["estimate"] > 0)
        )


def test_one_class_a_cell_is_compared_with_the_most_probable(tmp_path: Path) -> None:
    made = write_made("cells", tmp_path / "map.tif", stride=600)
    names, index = made.header.classes, made.index.ravel()
    inside = np.flatnonzero(made.mapped.ravel())
    points = [(int(i), names[index[i]]) for i in inside]
    reference = write_points(tmp_path / "points.csv", made.path, points)
    _, found = assess_map(made.path, reference, tmp_path / "out")
    assert found["several_classes"] is False
    assert found["overall"] == {"estimate": 1.0, "standard_error": 0.0, "ci95": 0.0}
    assert any("most probable" in remark for remark in found["remarks"])


def test_area_of_change_between_two_maps(tmp_path: Path) -> None:
    before = write_made("pixels", tmp_path / "before.tif", seed=1)
    after = write_made("pixels", tmp_path / "after.tif", seed=2)
    paths, compared = compare_files(before.path, after.path, tmp_path / "change.tif")
    both = (before.codes > 0) & (after.codes > 0)
    changed = before.codes != after.codes
    names = np.array(["", *(f"Now {c}" for c in after.header.classes)], dtype=object)
    label = np.where(changed, names[after.codes], "Unchanged").ravel()
    places = np.flatnonzero(both.ravel())[::15]
    # every tenth point says that nothing changed
    points = [(int(i), "Unchanged" if n % 10 == 0 else label[i]) for n, i in enumerate(places)]
    reference = write_points(tmp_path / "points.csv", paths["change"], points)
    _, found = assess_map(paths["change"], reference, tmp_path / "out")
    counted = compared["compared_ha"] * (1 - compared["agreement"])
    assert found["mapped_ha"] == pytest.approx(compared["compared_ha"])
    assert found["change_ha"]["estimate"] == pytest.approx(0.9 * counted, rel=0.02)
    assert found["change_ha"]["ci95"] == found["area_ha"]["Unchanged"]["ci95"] > 0
    _, design = draw_sample(paths["change"], tmp_path / "drawn.gpkg", SampleOptions(least=5))
    changes = {c["name"]: c for c in design["strata"]}
    assert design["strata_from"] == "changes from one class to another"
    assert changes["Unchanged"]["pixels"] == (both & ~changed).sum()
    assert sum(c["hectares"] for c in changes.values()) == pytest.approx(compared["compared_ha"])
    short = {c.code: c.name for c in after.header.land_cover}
    pairs = Counter(zip(before.codes[both].tolist(), after.codes[both].tolist(), strict=True))
    least = max(20, 0.02 * (both & changed).sum())
    large = {f"{short[a]} → {short[b]}": n for (a, b), n in pairs.items() if a != b and n >= least}
    assert {n: c["pixels"] for n, c in changes.items() if "→" in n} == large
    rest = (both & changed).sum() - sum(large.values())
    assert (changes["Other changes"]["pixels"] if rest else 0) == rest

    # a sample by these strata is assessed by its own design: classes stay those of the map
    drawn = geopandas.read_file(tmp_path / "drawn.gpkg", layer="points")
    drawn["reference"] = "Unchanged"
    drawn.to_file(tmp_path / "filled.gpkg", layer="points")
    _, found = assess_map(paths["change"], tmp_path / "filled.gpkg", tmp_path / "again")
    assert found["change_ha"]["estimate"] == pytest.approx(0, abs=1e-6)
    assert found["users"]["Unchanged"]["estimate"] == 1


def test_names_and_colours_of_a_stranger_come_from_gdal(tmp_path: Path, small: Path) -> None:
    sidecar = (
        "<PAMDataset><PAMRasterBand band='1'><CategoryNames><Category>None</Category>"
        "<Category>Water &lt;b&gt;</Category><Category>Wood</Category><Category/><Category/>"
        "<Category>Town</Category></CategoryNames></PAMRasterBand></PAMDataset>"
    )
    Path(f"{small}.aux.xml").write_text(sidecar, encoding="utf-8")
    reference = write_points(tmp_path / "points.csv", small, ten_each())
    paths, found = assess_map(small, reference, tmp_path / "out")
    assert list(found["users"]) == ["Water <b>", "Wood", "Town"]
    assert "Water &lt;b&gt;" in paths["html"].read_text(encoding="utf-8")


def test_a_built_in_nomenclature_goes_by_its_name(tmp_path: Path) -> None:
    codes = np.repeat(np.array([10, 80], np.uint8), 50).reshape(10, 10)
    path = write_classes(tmp_path / "worldcover.tif", codes)
    points = [(i, "Tree cover" if i < 50 else 80) for i in range(0, 100, 10)]
    reference = write_points(tmp_path / "points.csv", path, points)
    found = assess_map(path, reference, tmp_path / "out", classes=Path("worldcover"))[1]
    assert list(found["users"]) == ["Tree cover", "Permanent water bodies"]
    assert found["overall"]["estimate"] == pytest.approx(1)
    negative = write_classes(tmp_path / "n.tif", np.full((4, 4), -3, np.int16))
    with pytest.raises(OutputError, match="values from -3 to -3"):
        assess_map(negative, reference, tmp_path / "again")


class TestFilesOfTheMap:
    """After an assessment the page and the STAC Item of a map carry its estimates."""

    @pytest.fixture
    def assessed(self, tmp_path: Path) -> Path:
        path = tmp_path / "map.tif"
        made = write_made("cells", path, outputs=("classes", "stac", "report"))
        drawn, _ = draw_sample(path, tmp_path / "points.csv", SampleOptions(size=60, least=2))
        table = pandas.read_csv(drawn["points"])
        table["reference"] = made.header.classes[0]
        table.to_csv(tmp_path / "filled.csv", index=False)
        assess_map(path, tmp_path / "filled.csv", tmp_path / "accuracy")
        return path

    def test_they_say_what_the_estimates_are(self, assessed: Path) -> None:
        record = describe_map(assessed)["accuracy"]
        item = json.loads(assessed.with_suffix(".json").read_text())
        told = item["properties"]["geolulc:accuracy"]
        assert told["overall"] == record["overall"]
        assert told["area_ha"] == record["area_ha"]
        assert f"estimated from a sample of {record['points']['used']} points" in told["words"]
        page = assessed.with_suffix(".html").read_text()
        assert f"estimated from a sample of {record['points']['used']} points" in page
        assert page.count('<section id="estimates"') == 1
        asset = item["assets"]["report"]
        assert asset["file:size"] == assessed.with_suffix(".html").stat().st_size

    def test_a_second_assessment_replaces_the_first(self, assessed: Path) -> None:
        folder = assessed.parent
        table = pandas.read_csv(folder / "filled.csv").iloc[:20]
        table.to_csv(folder / "fewer.csv", index=False)
        assess_map(assessed, folder / "fewer.csv", folder / "again")
        page = assessed.with_suffix(".html").read_text()
        assert page.count('<section id="estimates"') == 1
        assert "a sample of 20 points" in page

    def test_figures_of_the_class_raster_say_whose_they_are(self, assessed: Path) -> None:
        folder, classes = assessed.parent, assessed.with_name("map_classes.tif")
        assert assess_map(assessed, folder / "filled.csv", folder / "again")[0]["page"]
        paths, found = assess_map(classes, folder / "filled.csv", folder / "of_classes")
        assert {paths["page"], paths["stac"]} == {folder / "map.html", folder / "map.json"}
        told = json.loads(paths["stac"].read_text())["properties"]["geolulc:accuracy"]
        assert told["words"].startswith("map_classes.tif estimated from a sample of")
        assert told["overall"] == found["overall"]
        page = paths["page"].read_text()
        assert page.count('<section id="estimates"') == 1
        assert "Accuracy and area of map_classes.tif, estimated" in page
        # a raster of that name that map.json does not list is another's
        copy = folder / "other_classes.tif"
        copy.write_bytes(classes.read_bytes())
        for ending in (".html", ".json"):
            copy.with_name(f"other{ending}").write_text("mine")
        paths, _ = assess_map(copy, folder / "filled.csv", folder / "of_copy")
        assert not {"page", "stac"} & paths.keys()

    def test_files_of_others_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "map.tif"
        write_made("cells", path)
        others = {".json": '{"mine": 1}', ".html": "<p>mine</p>"}
        for ending, text in others.items():
            path.with_suffix(ending).write_text(text)
        drawn, _ = draw_sample(path, tmp_path / "points.csv", SampleOptions(size=60, least=2))
        table = pandas.read_csv(drawn["points"])
        table["reference"] = "Pastures"
        table.to_csv(tmp_path / "filled.csv", index=False)
        paths, _ = assess_map(path, tmp_path / "filled.csv", tmp_path / "accuracy")
        assert not {"page", "stac"} & paths.keys()
        for ending, text in others.items():
            assert path.with_suffix(ending).read_text() == text
