"""Maps in coarser nomenclatures: areas add up, wherever they are shown."""

from __future__ import annotations

import json
from collections import Counter

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from written_map import KINDS, write_made

from geolulc.cli import cli
from geolulc.errors import ParameterError
from geolulc.maps.areas import ground_areas
from geolulc.maps.coarser import Coarser
from geolulc.maps.encoding import ENCODINGS
from geolulc.maps.header import MapBlock
from geolulc.nomenclature import BEN19, CLC43, nomenclature
from geolulc.nomenclature_files import find_nomenclature
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.story import SceneStory
from geolulc.outputs.writing import write_map

CLC1, CLC2 = nomenclature("clc1"), nomenclature("clc2")
OWN = """
id = "wet"
title = "Wet and dry"
[[classes]]
name = "Nass 🌊"
code = 7
color = "#0000ff"
holds = ["Inland waters", "Marine waters", "Inland wetlands", "Coastal wetlands"]
[[classes]]
name = "Trocken"
code = 3
color = "#aa8800"
"""


def _run(*arguments: object) -> str:
    found = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def _expected(made, target) -> dict[str, float]:
    """Hectares by coarser class, counted one cell at a time."""
    held = dict(zip(made.header.classes, target.holders(made.header.land_cover), strict=True))
    found: Counter[str] = Counter()
    for position, hectares in zip(made.index.ravel(), made.areas.ravel(), strict=True):
        if position >= 0 and (name := held[made.header.classes[position]]) is not None:
            found[name] += hectares
    return dict(found)


def test_corines_levels_hold_each_other() -> None:
    twice = CLC1.holders([CLC2[name] for name in CLC2.holders(CLC43.classes)])
    assert twice == CLC1.holders(CLC43.classes)
    assert [CLC1[name].code for name in twice] == [c.clc[0] // 100 for c in CLC43.classes]
    of_43 = dict(zip(CLC43.names, BEN19.holders(CLC43.classes), strict=True))
    assert of_43["Rice fields"] == "Arable land"
    assert sum(name is None for name in of_43.values()) == 11  # as BigEarthNet's authors say


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (BEN19, CLC2, "no single class that holds all of Permanent crops, Natural grassland"),
        (nomenclature("dynamicworld"), CLC1, "no single class that holds all of Water, Trees"),
    ],
)
def test_classes_in_parts_of_several_are_refused(source, target, message) -> None:
    with pytest.raises(ParameterError, match=message):
        target.holders(source.classes)


@pytest.mark.parametrize("kind", KINDS)
def test_areas_add_up_in_info_and_zones(tmp_path, kind) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    expected = _expected(made, CLC1)
    assert len(expected) > 1
    told = json.loads(_run("info", made.path, "--as", "clc1", "--json"))
    assert told["shown_as"] == "clc1"
    assert told["area_ha_by_class"] == pytest.approx(expected, abs=0.06)  # tags have one decimal
    zones = tmp_path / "zones.gpkg"
    frame = geopandas.GeoDataFrame(
        geometry=[shapely.box(*rasterio.open(made.path).bounds)],
        crs=made.header.grid.extent.crs,
    )
    frame.to_file(zones)
    out = tmp_path / "zones.csv"
    _run("summarize", made.path, "--zones", zones, "--as", "clc1", "--out", out)
    row = pandas.read_csv(out).iloc[0]
    hectares = {n: row[n] for n in row.index if n.startswith("ha_")}
    assert sorted(hectares.values()) == pytest.approx(sorted(expected.values()), rel=1e-6)
    assert row["mapped_ha"] == pytest.approx(sum(expected.values()), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_two_maps_are_compared_by_coarser_classes(tmp_path, kind) -> None:
    pair = [write_made(kind, tmp_path / f"{seed}.tif", seed=seed) for seed in (1, 2)]
    out = tmp_path / "change.tif"
    _run("compare", *(m.path for m in pair), "--as", "clc1", "--out", out)
    holders = CLC1.holders(pair[0].header.land_cover)
    codes = np.array([*(CLC1[name].code for name in holders), 0])
    before, after = (codes[m.index] for m in pair)
    with rasterio.open(out) as dataset:
        new, transition = dataset.read()
    known = (before > 0) & (after > 0)
    np.testing.assert_array_equal(transition, np.where(known, 100 * before + after, 0))
    assert ((new == 99) == (known & (before == after))).all()
    assert "Artificial surfaces" in out.with_name("change_matrix.csv").read_text(encoding="utf-8")


def test_a_users_own_many_to_one(tmp_path) -> None:
    made = write_made("pixels", tmp_path / "map.tif")
    own = tmp_path / "wet.toml"
    own.write_text(OWN, encoding="utf-8")
    held = find_nomenclature(own)["Nass 🌊"].holds
    water = [i for i, name in enumerate(made.header.classes) if name in held]
    wet = float(made.areas[np.isin(made.index, water)].sum())
    assert wet > 0
    text = _run("info", made.path, "--as", own)
    assert "shown as: wet" in text
    told = json.loads(_run("info", made.path, "--as", own, "--json"))
    assert told["area_ha_by_class"]["Nass 🌊"] == pytest.approx(wet, abs=0.06)
    rest = float(made.areas[made.mapped].sum()) - wet
    assert told["other_area_ha"] == pytest.approx(rest, abs=0.3)


def test_what_holds_no_classes(tmp_path) -> None:
    made = write_made("pixels", tmp_path / "map.tif")
    with pytest.raises(ParameterError, match=r"clc9: found .* or one of ben19"):
        _run("info", made.path, "--as", "clc9")
    pair = [made.path, write_made("pixels", tmp_path / "b.tif", seed=1).path]
    change = tmp_path / "change.tif"
    _run("compare", *pair, "--out", change)
    with pytest.raises(ParameterError, match="geolulc compare --as"):
        _run("info", change, "--as", "clc1")


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_is_written_with_coarser_classes(tmp_path, kind) -> None:
    made = write_made(kind, tmp_path / "fine.tif")
    p = made.probabilities
    block = MapBlock(0, 0, p if kind == "cells" else ENCODINGS["uint8"].encode(p))
    out = tmp_path / "coarse.tif"
    main = "probabilities" if kind == "cells" else "classes"
    outputs = tuple(dict.fromkeys((main, "classes", "probabilities", "vectors")))
    options = OutputOptions(outputs, coarser=CLC1, min_area=0.0)
    files = write_map(made.header, [block], out, story=SceneStory(), options=options)
    holders = CLC1.holders(made.header.land_cover)
    classes = [name for name in CLC1.names if name in holders]
    together = np.sum if made.header.exclusive else np.max
    members = [[i for i, h in enumerate(holders) if h == name] for name in classes]
    expected = np.stack([together(p[m], axis=0) for m in members])
    with rasterio.open(files["probabilities"]) as dataset:
        assert list(dataset.descriptions) == classes
        found = dataset.read().astype(float)
        if dataset.dtypes[0] == "uint8":
            found[found == 255] = np.nan
            found *= 0.004
    np.testing.assert_allclose(found, expected, atol=0.0021)
    with rasterio.open(files["classes"]) as dataset:
        assert dataset.tags()["NOMENCLATURE"] == "clc1"
        dominant = dataset.read(1)
        areas = json.loads(dataset.tags()["AREA_HA_BY_CLASS"])
    ties = np.sort(np.nan_to_num(expected), axis=0)
    sure = made.mapped & (ties[-1] - ties[-2] > 0.005)
    codes = np.array([CLC1[name].code for name in classes])
    np.testing.assert_array_equal(dominant[sure], codes[np.nan_to_num(expected).argmax(0)][sure])
    grid, method = made.header.grid, made.header.unit.areas
    total = ground_areas(grid, method)[made.mapped].sum()
    assert sum(areas.values()) == pytest.approx(total, abs=0.5)


def test_thresholds_are_the_lowest_and_unknown_classes_have_no_data() -> None:
    from made_map import made_map

    header = made_map().header
    coarser = Coarser.of(header, CLC1)
    if header.thresholds:
        for name, threshold in zip(coarser.header.classes, coarser.header.thresholds, strict=True):
            held = [
                t
                for t, h in zip(header.thresholds, CLC1.holders(header.land_cover), strict=True)
                if h == name
            ]
            assert threshold == pytest.approx(min(held))
    own = find_nomenclature("ben19").only(["Inland waters"])
    lost = Coarser.of(header, own)
    codes = np.array([[BEN19["Inland waters"].code, BEN19["Pastures"].code, 0]], np.uint8)
    assert lost.codes(codes).tolist() == [[18, 0, 0]]
    p = np.zeros((len(header.classes), 1, 3), np.float32)
    p[header.classes.index("Inland waters")] = 0.4, 0.4, np.nan
    p[0] = 0.1, 0.7, np.nan
    np.testing.assert_array_equal(lost.probabilities(p), np.float32([[[0.4, np.nan, np.nan]]]))


def test_a_rasters_own_names_and_colours_are_a_nomenclature(tmp_path) -> None:
    path = tmp_path / "land cover.tif"
    profile = {"width": 4, "height": 2, "count": 1, "dtype": "uint8", "nodata": 0}
    place = rasterio.transform.from_origin(600_000, 5_200_000, 10, 10)
    with rasterio.open(path, "w", crs=32632, transform=place, **profile) as dataset:
        dataset.write(np.array([[[10, 10, 95, 0], [200, 95, 0, 0]]], np.uint8))
        dataset.write_colormap(1, {10: (0, 100, 0), 95: (0, 207, 117), 200: (1, 2, 3)})
    own = tmp_path / "own.toml"
    _run("classes", path, "--out", own)
    found = find_nomenclature(own)
    assert found.id == "land-cover"
    assert [(c.name, c.code, c.color) for c in found.classes] == [
        ("10", 10, "#006400"),
        ("95", 95, "#00cf75"),
        ("200", 200, "#010203"),
    ]
    made = write_made("pixels", tmp_path / "map.tif")
    assert json.loads(_run("classes", made.path, "--json"))["id"] == "ben19"
