"""Written maps by windows: what was written is what is read."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rasterio.windows import Window
from written_map import KINDS, change_tags, write_made

from geolulc.analysis import describe_map, open_map, read_map, sibling
from geolulc.errors import OutputError
from geolulc.maps.header import MapHeader
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.story import SceneStory
from geolulc.outputs.writing import write_map

both_kinds = pytest.mark.parametrize("kind", KINDS)


def assert_same_header(found: MapHeader, made: MapHeader) -> None:
    assert found.grid.extent.bounds == made.grid.extent.bounds
    assert replace(found, grid=made.grid) == made


@both_kinds
@pytest.mark.parametrize("size", [None, 97])
def test_windows_cover_the_map_once(tmp_path: Path, kind: str, size: int | None) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    seen = np.zeros(made.header.grid.shape, np.int64)
    with open_map(made.path) as found:
        assert_same_header(found.header, made.header)
        for window in found.windows(size):
            seen[window.toslices()] += 1
            np.testing.assert_array_equal(found.codes(window), made.codes[window.toslices()])
    assert (seen == 1).all()


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("cells", "float32"), ("cells", "uint8"), ("cells", "uint16"), ("pixels", "uint8")],
)
def test_probabilities_are_those_that_were_written(tmp_path: Path, kind: str, dtype: str) -> None:
    made = write_made(kind, tmp_path / "map.tif", outputs=("probabilities",), dtype=dtype)
    path = made.path if kind == "cells" else tmp_path / "map_probabilities.tif"
    rows, columns = slice(1, 4), slice(2, 6)
    window = Window.from_slices(rows, columns)
    with open_map(path) as found:
        assert found.content == "probabilities"
        np.testing.assert_array_equal(found.shares(window), made.probabilities[:, rows, columns])
        np.testing.assert_array_equal(found.codes(window), made.codes[rows, columns])
        block = found.block(window)
    assert (block.row, block.column) == (1, 2)
    assert block.probabilities.dtype == ("float32" if kind == "cells" else "uint8")


@both_kinds
def test_a_map_that_is_read_can_be_written_again(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif", outputs=("probabilities",))
    path = made.path if kind == "cells" else tmp_path / "map_probabilities.tif"
    again = read_map(path)
    assert_same_header(again.header, made.header)
    np.testing.assert_array_equal(again.block.shares, made.probabilities)
    folder = tmp_path / "again"
    folder.mkdir()
    options = OutputOptions(("probabilities",))
    out = folder / "map.tif"
    written = write_map(again.header, [again.block], out, story=SceneStory(), options=options)
    with open_map(path) as first, open_map(written["probabilities"]) as second:
        assert first.tags["MAPPED_AREA_HA"] == second.tags["MAPPED_AREA_HA"]
        window = Window(0, 0, *first.header.grid.shape[::-1])
        np.testing.assert_array_equal(first.values(window), second.values(window))


@pytest.mark.parametrize(
    ("kind", "name", "bands"),
    [
        ("cells", "uncertainty", ["Valid share", "Clear share"]),
        ("cells", "classes", None),
        ("pixels", "confidence", None),
        ("pixels", "top3", None),
        ("pixels", "probabilities", ["Arable land"]),
    ],
)
def test_siblings_are_of_the_same_map(
    tmp_path: Path, kind: str, name: str, bands: list[str] | None
) -> None:
    made = write_made(kind, tmp_path / "map.tif", outputs=(name,))
    write_made(kind, tmp_path / "other.tif", seed=1, outputs=(name,))
    with open_map(made.path) as found:
        assert sibling(found, "nothing") is None
        other = sibling(found, name)
        assert other is not None
        with other:
            assert (other.content, other.path.name) == (name, f"map_{name}.tif")
            values = other.values(Window(0, 0, 3, 2), bands)
            assert values.shape == (len(bands) if bands else other.dataset.count, 2, 3)
        (tmp_path / f"other_{name}.tif").replace(other.path)
        with pytest.raises(OutputError, match=rf"map_{name}\.tif: found {name} of another map"):
            sibling(found, name)


STATISTICS = """<PAMDataset><SRS>EPSG:4326</SRS><GeoTransform>1,2,3,4,5,6</GeoTransform>
<Metadata><MDI key="STRIDE_M">60</MDI><MDI key="GEOLULC_FILE">classes</MDI></Metadata>
<PAMRasterBand band="1"><Description>Nonsense</Description><NoDataValue>0.25</NoDataValue><Metadata>
<MDI key="STATISTICS_APPROXIMATE">YES</MDI></Metadata></PAMRasterBand></PAMDataset>"""


@both_kinds
def test_side_files_of_a_gis_change_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "map.tif"
    write_made(kind, path)
    window = Window(0, 0, 5, 4)

    def believed() -> tuple[object, ...]:
        with open_map(path) as found:
            dataset = found.dataset
            bands = [dataset.tags(i) for i in range(1, dataset.count + 1)]
            values = found.values(window).tobytes()
            facts = found.header, dict(found.tags), bands, dataset.descriptions, dataset.nodatavals
            return *facts, dataset.transform, dataset.overviews(1), values, describe_map(path)

    before = repr(believed())
    path.with_name("map.tif.aux.xml").write_text(STATISTICS)
    path.with_name("map.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    path.with_name("map.qmd").write_text("<qgis/>")
    for ending in (".ovr", ".msk"):
        shutil.copy(path, f"{path}{ending}")
    assert repr(believed()) == before


def test_a_sibling_of_another_model_is_refused(tmp_path: Path) -> None:
    made = write_made("pixels", tmp_path / "map.tif", outputs=("top3",))
    change_tags(tmp_path / "map_top3.tif", {"MODEL_SHA256": "1" * 64})
    with open_map(made.path) as found, pytest.raises(OutputError, match="top3 of another map"):
        sibling(found, "top3")


def test_strangers_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"none\.tif: found .*expected a map written by geolulc"):
        open_map(tmp_path / "none.tif")
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(OutputError, match=r"text\.tif: found .*expected a map written by geolulc"):
        open_map(tmp_path / "text.tif")
