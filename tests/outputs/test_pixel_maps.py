"""Maps at pixel precision: what strips say is what the files say, whatever the strips' heights."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from geolulc.outputs.areas import areal_scale
from geolulc.outputs.pixel_areas import area_rows
from geolulc.outputs.pixel_files import PIXEL_OUTPUTS, plan_pixel_outputs
from geolulc.outputs.pixel_ranks import rank_classes
from geolulc.outputs.pixel_writing import write_pixel_map
from made_pixel_map import TILE, made_header, made_pixels, strips
from rasterio.enums import Resampling
from rio_cogeo.cogeo import cog_validate
from stac_fields import offline_validator

from geolulc.errors import OutputError, ParameterError
from geolulc.nomenclature import BEN19
from geolulc.outputs import OutputOptions, describe_map
from geolulc.pixel_map import FULL, NODATA, PixelGrid, PixelStrip

RASTERS = OutputOptions(("classes", "confidence", "top3", "probabilities"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("pixels") / "map.tif"
    options = OutputOptions(PIXEL_OUTPUTS)
    return write_pixel_map(made_header(), strips(made_pixels(made_header())), out, options=options)


def test_rasters_say_what_the_strips_say(written: dict[str, Path]) -> None:
    header, p = made_header(), made_pixels(made_header())
    mapped = p[0] != NODATA
    order = np.argsort(-p.astype(np.int16), axis=0, kind="stable")[:3]
    ranked = np.take_along_axis(p, order, axis=0)
    codes = np.where(mapped, order + 1, 0)
    with rasterio.open(written["classes"]) as dataset:
        assert written["classes"].name == "map.tif"
        assert (dataset.crs.to_string(), dataset.transform) == (TILE.crs, header.grid.transform)
        assert dataset.nodata == 0
        np.testing.assert_array_equal(dataset.read(1), codes[0])
        colors = dataset.colormap(1)
        assert {c.code: c.rgb for c in BEN19.classes} == {c: colors[c][:3] for c in range(1, 20)}
    with rasterio.open(written["confidence"]) as dataset:
        assert (dataset.nodata, dataset.scales) == (NODATA, (1 / FULL,))
        np.testing.assert_array_equal(dataset.read(1), np.where(mapped, p.max(axis=0), NODATA))
    with rasterio.open(written["top3"]) as dataset:
        none = ranked == 0
        np.testing.assert_array_equal(
            dataset.read([1, 2, 3]), np.where(mapped, np.where(none, 0, codes), NODATA)
        )
        np.testing.assert_array_equal(dataset.read([4, 5, 6]), np.where(mapped, ranked, NODATA))
    with rasterio.open(written["probabilities"]) as dataset:
        assert dataset.descriptions == BEN19.names
        np.testing.assert_array_equal(dataset.read(), p)
        assert float(dataset.tags(3)["STATISTICS_MEAN"]) == pytest.approx(p[2][mapped].mean())


def test_files_are_cloud_optimized(written: dict[str, Path]) -> None:
    for part in ("classes", "confidence", "top3", "probabilities"):
        valid, errors, warnings = cog_validate(written[part], strict=True)
        assert valid, (part, errors, warnings)
        with rasterio.open(written[part]) as dataset:
            assert dataset.overviews(1)
    with rasterio.open(written["classes"]) as dataset:
        seen = dataset.read(1, out_shape=(300, 360), resampling=Resampling.nearest)
        assert set(np.unique(seen)) <= set(range(20))


@pytest.mark.parametrize("heights", [(1,), (600,), (512, 88), (7, 300, 120)])
def test_bytes_do_not_depend_on_the_strips(
    tmp_path: Path, written: dict[str, Path], heights: tuple[int, ...]
) -> None:
    header = made_header()
    options = OutputOptions(("classes", "top3", "confidence"))
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    p = made_pixels(header)
    one = write_pixel_map(header, strips(p, (120,)), first / "map.tif", options=options)
    two = write_pixel_map(header, strips(p, heights), second / "map.tif", options=options)
    for part, path in one.items():
        assert path.read_bytes() == two[part].read_bytes(), part


def test_a_map_without_data_is_a_map(tmp_path: Path) -> None:
    header = made_header()
    empty = np.full((19, *header.grid.shape), NODATA, np.uint8)
    paths = write_pixel_map(
        header, strips(empty), tmp_path / "map.tif", options=OutputOptions(PIXEL_OUTPUTS)
    )
    with rasterio.open(paths["classes"]) as dataset:
        assert not dataset.read().any()
    assert describe_map(paths["classes"])["mapped_area_ha"] == 0


def test_a_part_of_a_tile_lies_where_it_belongs(tmp_path: Path) -> None:
    grid = PixelGrid(TILE, 20, top=1_240, left=2_020, height=1_300, width=2_220)
    header = made_header(grid=grid, classes=BEN19.names[:2])
    p = made_pixels(header)
    paths = write_pixel_map(header, strips(p, (33,)), tmp_path / "map.tif", options=RASTERS)
    with rasterio.open(paths["classes"]) as dataset:
        assert dataset.bounds == (602_020.0, 5_097_460.0, 604_240.0, 5_098_760.0)
    with rasterio.open(paths["top3"]) as dataset:
        assert dataset.count == 4


def test_areas_are_on_the_ground(written: dict[str, Path]) -> None:
    grid = made_header().grid
    with rasterio.open(written["classes"]) as dataset:
        codes = dataset.read(1)
    areas = area_rows(grid, 0, grid.shape[0])
    x, y = np.meshgrid(
        TILE.left + 10 * np.arange(grid.shape[1]) + 5, TILE.top - 10 * np.arange(grid.shape[0]) - 5
    )
    np.testing.assert_allclose(areas, 0.01 / areal_scale(TILE.crs, x, y), rtol=1e-5)
    story = describe_map(written["classes"])
    for c in BEN19.classes:
        expected = areas[codes == c.code].sum()
        assert story["area_ha_by_class"][c.name] == pytest.approx(expected, abs=1e-4)
    assert story["mapped_area_ha"] == areas[codes != 0].sum()
    assert story["pixel_size_m"] == 10
    assert story["files"] == sorted(path.name for path in written.values())


def test_ranks_are_those_of_sorting() -> None:
    rng = np.random.default_rng(1)
    for count in (1, 2, 3, 43):
        p = rng.integers(0, 5, (count, 70, 90)).astype(np.uint8)  # many ties
        found = rank_classes(p)
        order = np.argsort(-p.astype(np.int16), axis=0, kind="stable")[:3]
        np.testing.assert_array_equal(found.index, order)
        np.testing.assert_array_equal(found.probabilities, np.take_along_axis(p, order, axis=0))
    with pytest.raises(ValueError, match="between 250 and 255"):
        rank_classes(np.full((3, 2, 2), 251, np.uint8))


def test_stac_item_is_valid(written: dict[str, Path]) -> None:
    item = pystac.Item.from_file(written["stac"])
    document = json.loads(written["stac"].read_text())
    tested = item.validate(validator=offline_validator())
    assert set(document["stac_extensions"]) < set(tested)
    assert document["properties"]["gsd"] == 10
    assert document["properties"]["proj:shape"] == [600, 720]
    assets = document["assets"]
    assert assets["classes"]["href"] == "./map.tif"
    assert len(assets["classes"]["classification:classes"]) == 20
    assert assets["confidence"]["bands"][0]["raster:scale"] == 1 / FULL
    for part, asset in assets.items():
        assert asset["file:size"] == written[part].stat().st_size


def test_map_tif_comes_last() -> None:
    paths = plan_pixel_outputs(Path("a/map.tif"), PIXEL_OUTPUTS)
    assert list(paths.items())[-1] == ("classes", Path("a/map.tif"))
    assert OutputOptions().pixel_outputs == tuple(
        n for n in PIXEL_OUTPUTS if n not in ("probabilities", "report")
    )
    assert "report" in OutputOptions((*OutputOptions().outputs, "report")).pixel_outputs


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
        write_pixel_map(made_header(), [], tmp_path / "map.tif", options=OutputOptions(**options))
    for wrong in ({"min_area": -1.0}, {"min_area": float("nan")}, {"max_polygons": 0}):
        with pytest.raises(ParameterError, match=r"min-area|max-polygons"):
            OutputOptions(**wrong)


def test_strips_that_are_not_the_map_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    header, p = made_header(), made_pixels(made_header())
    wrong = {
        "rows of": [PixelStrip(0, p[:, :120])],
        "after 120": [PixelStrip(0, p[:, :120]), PixelStrip(240, p[:, 240:360])],
        "not uint8": [PixelStrip(0, p[:5])],
        "float32": [PixelStrip(0, p.astype(np.float32))],
        "from 0": [PixelStrip(0, np.repeat(p, 2, axis=1))],
    }
    for message, parts in wrong.items():
        with pytest.raises(ValueError, match=message):
            write_pixel_map(header, iter(parts), tmp_path / "map.tif", options=RASTERS)
        assert list(tmp_path.iterdir()) == []


def test_a_model_that_fails_leaves_the_older_map(tmp_path: Path) -> None:
    header, p = made_header(), made_pixels(made_header())
    options = OutputOptions(("classes",))
    out = tmp_path / "map.tif"
    write_pixel_map(header, strips(p), out, options=options)
    before = out.read_bytes()

    def failing() -> object:
        yield from list(strips(p))[:2]
        raise RuntimeError("the network")

    with pytest.raises(RuntimeError, match="the network"):
        write_pixel_map(header, failing(), out, options=options, overwrite=True)
    assert out.read_bytes() == before
    with pytest.raises(OutputError, match="--overwrite"):
        write_pixel_map(header, strips(p), out, options=options)


WRITER = """
    import resource, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from made_pixel_map import made_header, made_pixels, strips
    from geolulc.outputs import OutputOptions
    from geolulc.outputs.pixel_writing import write_pixel_map
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
    header = made_header()
    options = OutputOptions(({output!r},))
    write_pixel_map(header, strips(made_pixels(header)), Path({out!r}), options=options)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
@pytest.mark.parametrize(
    ("output", "limit"),
    [("classes", 4_000), ("classes", 100_000), ("top3", 1_900_000), ("vectors", 900_000)],
)
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, output: str, limit: int) -> None:
    tests = str(Path(__file__).parents[1])
    out = str(tmp_path / "map.tif")
    code = textwrap.dedent(WRITER).format(tests=tests, out=out, limit=limit, output=output)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert OutputError.__name__ in done.stderr.splitlines()[-1], done.stderr[-2000:]
    assert list(tmp_path.iterdir()) == []
