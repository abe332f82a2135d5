"""One ``write_map`` for cells and pixels: the files say what the blocks say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pystac
import pytest
import rasterio
from affine import Affine
from made_map import BACKDROP, SOUTHERN_TILE, made_map, save_map
from made_pixel_map import made_pixel_map
from PIL import Image
from pyproj import Transformer
from written_map import KINDS, write_made

from geolulc.analysis import describe_map
from geolulc.errors import OutputError, ParameterError
from geolulc.grid import TileGrid
from geolulc.maps.areas import ground_areas
from geolulc.maps.encoding import FULL, Encoding
from geolulc.maps.header import LandCoverMap, MapBlock
from geolulc.maps.ranking import rank_classes
from geolulc.nomenclature import BEN19
from geolulc.outputs import OutputOptions, SceneStory, files, layers, write_map
from geolulc.outputs.files import MapKind, default_outputs, output_names
from geolulc.outputs.picture import north_direction, scale_bar_length
from geolulc.outputs.rasters import Band
from geolulc.outputs.tags import header_of
from geolulc.ownership import ANY, OWN
from geolulc.safe_texts import one_line

#: 180 × 240 pixels.
SMALL = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 2_400, 1_800)
MADE: dict[str, Callable[..., LandCoverMap]] = {
    "cells": made_map,
    "pixels": partial(made_pixel_map, SMALL),
}
kinds = pytest.mark.parametrize("kind", list(MADE))
STORY = SceneStory()


def all_outputs(kind: str) -> tuple[str, ...]:
    return output_names(MapKind.CELLS if kind == "cells" else MapKind.PIXELS)


def test_polygons_hold_every_mapped_cell_once(tmp_path: Path) -> None:
    made = made_map(seed=2)
    save_map(made, tmp_path / "map.tif", "vectors")
    mapped = np.isfinite(made.block.probabilities[0])
    areas = ground_areas(made.header.grid, made.header.unit.areas)
    polygons = geopandas.read_file(tmp_path / "map.gpkg", layer="classes")
    assert polygons.crs.to_epsg() == 32632
    assert polygons.is_valid.all()
    assert polygons["cells"].sum() == mapped.sum()
    assert polygons["area_ha"].sum() == areas[mapped].sum()
    extent = made.extent
    assert tuple(polygons.total_bounds) == (600_000.0, 5_094_600.0, 606_600.0, 5_100_000.0)
    assert polygons.area.sum() <= extent.width * extent.height
    table = pyogrio.read_dataframe(tmp_path / "map.gpkg", layer="summary")
    assert tuple(table["name"]) == BEN19.names
    by_class = polygons.groupby("name")["area_ha"].sum()
    for _, row in table.iterrows():
        assert by_class.get(row["name"], 0.0) == row["area_ha"]


@kinds
def test_picture_shows_map_and_true_colour(tmp_path: Path, kind: str) -> None:
    made = MADE[kind]()
    save_map(made, tmp_path / "map.tif", "picture", story=SceneStory(backdrop=BACKDROP))
    image = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).reshape(-1, 3)
    colors = {tuple(c) for c in np.unique(image, axis=0)}
    codes = rank_classes(made.block.shares, 1).dominant(made.header)
    assert {c.rgb for c in BEN19.classes if c.code in codes} <= colors
    assert (90, 90, 90) in colors


def test_names_derive_from_out() -> None:
    def plan(out: str, *outputs: str) -> dict[str, Path]:
        return OutputOptions(outputs or None).plan(Path(out), exclusive=False)

    assert plan("a/scene.v1.tif", "picture", "probabilities") == {
        "picture": Path("a/scene.v1.png"),
        "probabilities.style": Path("a/scene.v1.qml"),
        "probabilities": Path("a/scene.v1.tif"),
    }
    with pytest.raises(ParameterError, match="GeoTIFF"):
        plan("map.png")
    with pytest.raises(ParameterError, match="maps"):
        plan("map.tif", "maps")


def test_each_kind_of_map_has_its_outputs() -> None:
    common = {"vectors", "stac", "picture"}
    cells = {"probabilities", "classes", "presence", "uncertainty"}
    pixels = {"classes", "confidence", "top3"}
    assert set(default_outputs(MapKind.CELLS)) == common | cells
    assert set(default_outputs(MapKind.PIXELS)) == common | pixels
    mosaic = {"observations", "confidence"}
    assert set(default_outputs(MapKind.CELL_MOSAIC)) == common | cells | mosaic
    assert set(default_outputs(MapKind.PIXEL_MOSAIC)) == common | pixels | {"observations"}
    assert set(all_outputs("pixels")) == common | pixels | {"probabilities", "domain", "report"}
    for exclusive in (False, True):
        plan = OutputOptions(report=True).plan(Path("m.tif"), exclusive=exclusive)
        assert "report" in plan
        alone = OutputOptions().plan(Path("m.tif"), exclusive=exclusive, mosaic=True)
        shared = OutputOptions().plan(Path("m.tif"), exclusive=exclusive, mosaic=True, alone=False)
        assert set(alone) - set(shared) == {"stac.collection"}
        assert "stac.model" in plan
        assert "stac.model" not in alone


@kinds
def test_existing_output_is_refused_before_anything_is_written(tmp_path: Path, kind: str) -> None:
    (tmp_path / "map.gpkg").write_text("mine")

    def blocks() -> Iterator[MapBlock]:
        raise AssertionError("asked for")
        yield

    made = MADE[kind]()
    with pytest.raises(OutputError, match=r"map\.gpkg.*exists.*--overwrite"):
        write_map(made.header, blocks(), tmp_path / "map.tif", story=STORY)
    with pytest.raises(OutputError, match=r"map\.gpkg: found a file that geolulc did not write"):
        write_map(made.header, blocks(), tmp_path / "map.tif", story=STORY, overwrite=OWN)
    assert [p.name for p in tmp_path.iterdir()] == ["map.gpkg"]
    save_map(made, tmp_path / "map.tif", overwrite=ANY)
    assert geopandas.read_file(tmp_path / "map.gpkg", layer="classes").crs == "EPSG:32632"


@kinds
@pytest.mark.parametrize(
    "step",
    [
        *("writing.write_vectors", "picture.write_picture"),
        *("writing.write_item", "writing.map_tags"),
    ],
)
def test_a_failure_in_the_middle_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, kind: str
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"geolulc.outputs.{step}", fail)
    with pytest.raises(OutputError, match=r"map\.tif.*No space left"):
        save_map(MADE[kind](), tmp_path / "map.tif")
    assert list(tmp_path.iterdir()) == []


@kinds
@pytest.mark.parametrize("heights", [(1,), (600,), (512, 88), (7, 300, 120)])
def test_bytes_do_not_depend_on_the_blocks(
    tmp_path: Path, heights: tuple[int, ...], kind: str
) -> None:
    if kind == "cells":
        tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 3_600, 36_000)
        made = made_map(tile, stride=60)
        names = ["probabilities", "classes", "presence", "uncertainty"]
    else:
        made, names = MADE[kind](), ["classes", "top3", "confidence"]
    found = []
    for folder, parts in (("a", (120,)), ("b", heights)):
        (tmp_path / folder).mkdir()
        blocks = in_heights(made.block, parts)
        options = OutputOptions(tuple(names))
        out = tmp_path / folder / "map.tif"
        found.append(write_map(made.header, blocks, out, story=STORY, options=options))
    for part, path in found[0].items():
        assert path.read_bytes() == found[1][part].read_bytes(), part


@kinds
def test_blocks_may_use_their_arrays_again(tmp_path: Path, kind: str) -> None:
    made = MADE[kind]() if kind == "pixels" else made_map(stride=60)

    def blocks() -> Iterator[MapBlock]:
        again = np.empty_like(made.block.probabilities[:, :50])
        for row in range(0, made.block.shape[0], 50):
            part = made.block.part(slice(row, row + 50))
            rows = part.shape[0]
            again[:, :rows] = part.probabilities
            yield replace(part, probabilities=again[:, :rows])
            again[:] = 0

    options = OutputOptions(("probabilities",))
    paths = write_map(made.header, blocks(), tmp_path / "m.tif", story=STORY, options=options)
    with rasterio.open(paths["probabilities"]) as dataset:
        np.testing.assert_array_equal(dataset.read(), made.block.probabilities)


def in_heights(block: MapBlock, heights: tuple[int, ...]) -> Iterator[MapBlock]:
    row, turn = 0, 0
    while row < block.shape[0]:
        height = min(heights[turn % len(heights)], block.shape[0] - row)
        yield block.part(slice(row, row + height))
        row, turn = row + height, turn + 1


@kinds
def test_blocks_that_are_not_the_map_are_refused_and_leave_nothing(
    tmp_path: Path, kind: str
) -> None:
    made = MADE[kind]() if kind == "pixels" else made_map(stride=60)
    p, rows = made.block.probabilities, made.block.shape[0]
    other = np.nan_to_num(p).astype(np.uint8 if kind == "cells" else np.float32)
    wrong = {
        "rows of": [(0, p[:, :40])],
        "after 40": [(0, p[:, :40]), (50, p[:, 50:60])],
        "not (uint8|float32)": [(0, p[:5])],
        "a block of (uint8|float32)": [(0, other)],
        f"from 0 after 0 of {rows}": [(0, np.repeat(p, 2, axis=1))],
    }
    for message, parts in wrong.items():
        blocks = [MapBlock(row, 0, part) for row, part in parts]
        with pytest.raises(ValueError, match=message):
            write_map(made.header, blocks, tmp_path / "map.tif", story=STORY)
        assert list(tmp_path.iterdir()) == []


@kinds
def test_a_model_that_fails_leaves_the_older_map(tmp_path: Path, kind: str) -> None:
    made, out = MADE[kind](), tmp_path / "map.tif"
    save_map(made, out)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def failing() -> Iterator[MapBlock]:
        yield made.block.part(slice(0, 2))
        raise RuntimeError("the network")

    with pytest.raises(RuntimeError, match="the network"):
        write_map(made.header, failing(), out, story=STORY, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": ("presence", "classes")}, "presence.*confidence"),
        ({"dtype": "uint16"}, "uint8"),
        ({"cells": True}, "polygons of classes only"),
    ],
)
def test_what_only_maps_of_cells_have_is_refused(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        save_map(made_pixel_map(), tmp_path / "map.tif", *options.pop("outputs", ()), **options)
    with pytest.raises(ParameterError, match=r"'top3'.*presence"):
        save_map(made_map(), tmp_path / "map.tif", "top3")
    with pytest.raises(ParameterError, match="'observations'"):
        save_map(made_map(), tmp_path / "map.tif", "observations")
    for wrong in ({"min_area": -1.0}, {"min_area": float("nan")}, {"max_polygons": 0}):
        with pytest.raises(ParameterError, match=r"min-area|max-polygons"):
            OutputOptions(**wrong)


def second_class(cells: layers.RankedBlock) -> Any:
    shares = rank_classes(cells.shares).probabilities[1:2]
    return np.where(np.isnan(shares), 999, np.round(np.nan_to_num(shares) * FULL)).astype("u2")


#: The raster of the test below: the probability of the second class.
SECOND = layers.Layer(
    second_class,
    lambda cells: [Band("Second", {"OF": cells.header.unit.many}, 1 / FULL)],
    lambda totals: f"style of {totals.figures.cells} cells",
    Encoding("uint16", 1 / FULL, 999),
)


@kinds
def test_a_new_output_is_one_row_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As CONTRIBUTING says: it is written, styled, listed and tagged, for both kinds of maps."""
    asset = files.Asset("Share of the second class", roles=("data", "made"))
    row = files._raster("second", asset, layer=f"{__name__}:SECOND")
    monkeypatch.setattr(files, "OUTPUTS", (*files.OUTPUTS, row))
    made = MADE[kind]()
    paths = save_map(made, tmp_path / "map.tif", "second", "stac")
    assert {p.name for p in tmp_path.iterdir()} == {"map_second.tif", "map_second.qml", "map.json"}
    rows, columns = made.header.grid.shape
    assert paths["second.style"].read_text() == f"style of {rows * columns} cells"
    with rasterio.open(paths["second"]) as dataset:
        assert dataset.dtypes == ("uint16",)
        second = np.sort(made.block.shares, axis=0)[-2]
        known = np.isfinite(second)
        assert (dataset.nodata, dataset.tags()["GEOLULC_FILE"]) == (999, "second")
        np.testing.assert_array_equal(dataset.read(1)[known], np.round(second * FULL)[known])
        assert dataset.tags(1)["OF"] == kind
        assert "map_second.tif" in json.loads(dataset.tags()["GEOLULC_FILES"])
    found = pystac.Item.from_file(paths["stac"]).assets["second"]
    assert (found.title, found.roles) == ("Share of the second class", ["data", "made"])
    assert [band["name"] for band in found.extra_fields["bands"]] == ["Second"]


@kinds
def test_the_header_stands_in_the_tags_of_every_raster(tmp_path: Path, kind: str) -> None:
    made = MADE[kind]()
    paths = save_map(made, tmp_path / "map.tif", *all_outputs(kind))
    for path in paths.values():
        if path.suffix == ".tif":
            with rasterio.open(path) as dataset:
                assert header_of(dataset.tags(), dataset.crs.to_string()) == made.header
    tags = pyogrio.read_info(paths["vectors"], layer="classes")["layer_metadata"]
    assert header_of(tags, "EPSG:32632") == made.header


def test_tags_that_contradict_themselves_are_no_header(tmp_path: Path) -> None:
    paths = save_map(made_pixel_map(), tmp_path / "map.tif", "classes")
    with rasterio.open(paths["classes"]) as dataset:
        tags = dataset.tags()
    for name, value in (
        ("PIXEL_SIZE_M", "25"),
        ("EXTENT", "[600005.0,5094000.0,607200.0,5100000.0]"),
        ("MASKED_SCL", "7"),
        ("CLASSES", '["x"]'),
    ):
        with pytest.raises((ValueError, TypeError, ParameterError)):
            header_of({**tags, name: value}, "EPSG:32632")
    with pytest.raises(KeyError):
        header_of({k: v for k, v in tags.items() if k != "TILE_EXTENT"}, "EPSG:32632")


@kinds
def test_describe_map_tells_where_it_comes_from(tmp_path: Path, kind: str) -> None:
    made = MADE[kind]()
    paths = save_map(made, tmp_path / "map.tif")
    header, mapped = made.header, np.isfinite(made.block.shares[0]).sum()
    found = describe_map(tmp_path / "map.tif")
    assert found["scene"] == dict(header.scene)
    assert found["model"] == dict(header.model)
    assert found["crs"] == "EPSG:32632"
    assert found["files"] == sorted(p.name for p in tmp_path.iterdir())
    assert found[f"mapped_{kind}"] == mapped
    if kind == "cells":
        assert found["stride_m"] == 1200
        assert [b["name"] for b in found["bands"]] == list(BEN19.names)
        assert list(found["thresholds"].values()) == pytest.approx(list(header.thresholds))
    else:
        assert (found["pixel_size_m"], found["masked_scl"]) == (10, [3, 8, 9, 10])
    classes = describe_map(paths["classes"])
    assert sum(classes["area_ha_by_class"].values()) == pytest.approx(found["mapped_area_ha"])


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


@kinds
@pytest.mark.parametrize(
    "name", ["a$b$ \\frac{", "<b>&amp;\"'", "zero\x00 bell\x07", "中文 é", "x" * 3000, "{{ 7*7 }}"]
)
def test_names_from_metadata_are_only_text(tmp_path: Path, name: str, kind: str) -> None:
    made = MADE[kind]()
    scene = {**made.header.scene, "name": name, "tile": name}
    header = replace(made.header, scene=scene, model={"name": name, "sha256": "00"})
    outputs = tuple(n for n in all_outputs(kind) if n not in ("top3", "confidence"))
    story = SceneStory(backdrop=BACKDROP)
    save_map(replace(made, header=header), tmp_path / "map.tif", *outputs, story=story)
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


@pytest.mark.parametrize("kind", KINDS)
def test_areas_add_up_to_the_map(tmp_path: Path, kind: str) -> None:
    """No column and no page has areas of classes that count ground twice."""
    path = tmp_path / "map.tif"
    write_made(kind, path, outputs=("vectors", "report"))
    table = pyogrio.read_dataframe(path.with_suffix(".gpkg"), layer="summary")
    areas = [name for name in table if name.endswith("_ha")]
    assert areas == ["area_ha", *(["expected_area_ha"] if kind == "pixels" else [])]
    for name in areas:
        assert table[name].sum() == pytest.approx(table["area_ha"].sum(), rel=5e-3)
    page = path.with_suffix(".html").read_text()
    assert ("xpected area" in page) == (kind == "pixels")
    assert "ominant" not in re.sub(r"<script>.*</script>", "", page, flags=re.DOTALL)
    assert "geolulc assess" in page
