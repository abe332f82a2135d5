from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import rasterio
from made_map import SOUTHERN_TILE
from made_pixel_map import made_header
from rasterio.windows import Window
from written_map import KINDS, WrittenMap, write_made

from geolulc.analysis import compare_files, describe_map
from geolulc.analysis.compare import Transitions
from geolulc.analysis.map_file import MapFile
from geolulc.errors import OutputError, ParameterError
from geolulc.maps.header import MapHeader
from geolulc.nomenclature import BEN19, nomenclature_of

#: Value of a cell of one class in both maps.
UNCHANGED = 99

both_kinds = pytest.mark.parametrize("kind", KINDS)


def made_pair(kind: str, folder: Path) -> tuple[WrittenMap, WrittenMap]:
    """Two maps of one grid, with other cells without data."""
    changes: dict[str, Any] = {"stride": 600} if kind == "cells" else {}
    first = write_made(kind, folder / "before.tif", seed=1, **changes)
    return first, write_made(kind, folder / "after.tif", seed=2, hole=1200, **changes)


@both_kinds
def test_a_map_does_not_differ_from_itself(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    paths, found = compare_files(made.path, made.path, tmp_path / "change.tif")
    assert found["agreement"] == 1
    assert found["compared_ha"] == made.areas[made.mapped].sum()
    assert found["only_before_ha"] == found["only_after_ha"] == 0
    assert all(c["agreement"] in (1, None) for c in found["classes"])
    nothing = 0 if kind == "cells" else None
    assert all(c["probability_change"] == nothing for c in found["classes"])
    assert found["transitions"] == []
    matrix = pandas.read_csv(paths["matrix"], index_col=0).to_numpy()
    assert np.count_nonzero(matrix - np.diag(np.diag(matrix))) == 0


@both_kinds
def test_matrix_and_agreement_count_cells_by_area(tmp_path: Path, kind: str) -> None:
    before, after = made_pair(kind, tmp_path)
    paths, found = compare_files(before.path, after.path, tmp_path / "change.tif")
    old, new, areas = before.codes, after.codes, before.areas
    both = (old > 0) & (new > 0)
    matrix = pandas.read_csv(paths["matrix"], index_col=0)
    assert list(matrix.index) == list(matrix.columns) == list(before.header.classes)
    for i in range(19):
        for j in range(19):
            cells = (old == i + 1) & (new == j + 1)
            assert matrix.to_numpy()[i, j] == areas[cells].sum()
    assert found["compared_ha"] == areas[both].sum()
    assert found["only_before_ha"] == areas[(old > 0) & (new == 0)].sum() > 0
    assert found["only_after_ha"] == areas[(old == 0) & (new > 0)].sum()
    assert found["agreement"] == pytest.approx(areas[both & (old == new)].sum() / areas[both].sum())
    assert sum(t["area_ha"] for t in found["transitions"]) == areas[both & (old != new)].sum()
    for code, c in enumerate(found["classes"], start=1):
        assert c["before_ha"] == areas[(old == code) & both].sum()
        assert c["after_ha"] == areas[(new == code) & both].sum()
        either = areas[((old == code) | (new == code)) & both].sum()
        if either:
            shared = areas[(old == code) & (new == code)].sum()
            assert c["agreement"] == pytest.approx(shared / either)
        if kind == "cells":
            difference = (after.probabilities - before.probabilities)[code - 1].astype(float)
            assert c["probability_change"] == pytest.approx(
                np.average(difference[both], weights=areas[both]), abs=1e-7
            )
        else:
            assert c["probability_change"] is None


@both_kinds
@pytest.mark.parametrize("window", [1024, 128])
def test_change_files_read_back(
    tmp_path: Path, kind: str, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = made_pair(kind, tmp_path)
    monkeypatch.setattr("geolulc.analysis.map_file._WINDOW", window)
    monkeypatch.setattr("geolulc.analysis.map_file._WINDOW_OF_ALL", window // 16)
    out = tmp_path / "out"
    out.mkdir()
    paths, figures = compare_files(before.path, after.path, out / "change.tif")
    assert {p.name for p in out.iterdir()} == {"change.tif", "change.qml", "change_matrix.csv"}
    with rasterio.open(paths["change"]) as dataset:
        assert dataset.descriptions == ("New class", "Transition")
        assert (dataset.nodata, dataset.transform) == (0, before.header.grid.transform)
        shown, transitions = dataset.read()
    old, new = before.codes, after.codes
    both = (old > 0) & (new > 0)
    np.testing.assert_array_equal(transitions, np.where(both, 100 * old + new, 0))
    changed = np.where(old == new, UNCHANGED, new)
    np.testing.assert_array_equal(shown, np.where(both, changed, 0))
    assert "Unchanged" in paths["style"].read_text(encoding="utf-8")
    description = describe_map(paths["change"])
    assert description["kind"] == "change"
    assert description["before"]["scene"] == dict(before.header.scene)
    assert description["agreement"] == pytest.approx(figures["agreement"], abs=1e-6)
    assert description["compared_area_ha"] == figures["compared_ha"]


def rewrite(path: Path, target: Path, *, sparse: bool) -> Path:
    """A copy with data in its upper-left 32 × 32 cells alone, in blocks of 16 × 16."""
    with rasterio.open(path) as dataset:
        values, tags, profile = dataset.read(), dataset.tags(), dataset.profile
        kept = np.full_like(values, dataset.nodata)
        kept[:, :32, :32] = values[:, :32, :32]
        profile |= {"driver": "GTiff", "tiled": True, "blockxsize": 16, "blockysize": 16}
        with rasterio.open(target, "w", **profile, sparse_ok=sparse) as copy:
            copy.update_tags(**tags)
            copy.descriptions, copy.scales = dataset.descriptions, dataset.scales
            rows = slice(0, 32 if sparse else None)
            copy.write(kept[:, rows, rows], window=Window(0, 0, *kept[0, rows, rows].shape[::-1]))
    return target


@both_kinds
def test_blocks_that_neither_map_has_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    changes: dict[str, Any] = {"stride": 60} if kind == "cells" else {}
    made = [write_made(kind, tmp_path / f"{n}.tif", seed=n, **changes) for n in (1, 2)]
    for name in ("_WINDOW", "_WINDOW_OF_ALL"):
        monkeypatch.setattr(f"geolulc.analysis.map_file.{name}", 16)
    read, codes = [], MapFile.codes
    monkeypatch.setattr(
        MapFile, "codes", lambda self, window: read.append(window) or codes(self, window)
    )
    found = []
    for sparse in (True, False):
        read.clear()
        pair = [
            rewrite(m.path, tmp_path / f"{m.path.stem}-{sparse}.tif", sparse=sparse) for m in made
        ]
        out = tmp_path / f"change-{sparse}.tif"
        _, figures = compare_files(*pair, out)
        with rasterio.open(out) as dataset:
            statistics = {k: v for k, v in dataset.tags(1).items() if k.startswith("STATISTICS")}
            found.append((figures, dataset.read().tolist(), statistics))
        assert (len(read) == 2 * 4) is sparse
    assert found[0] == found[1]
    assert found[0][0]["compared_ha"] > 0


@both_kinds
def test_maps_without_common_ground_have_no_agreement(tmp_path: Path, kind: str) -> None:
    before = write_made(kind, tmp_path / "before.tif")
    after = write_made(kind, tmp_path / "after.tif", hole=12_000)
    _, found = compare_files(before.path, after.path, tmp_path / "change.tif")
    assert found["agreement"] is None
    assert found["compared_ha"] == 0
    assert found["only_before_ha"] > 0
    assert found["classes"][0]["probability_change"] is None


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("cells", {"tile": SOUTHERN_TILE}, "coordinate reference system.*same cells and classes"),
        ("pixels", {"tile": SOUTHERN_TILE}, "coordinate reference system.*same pixels and classes"),
        ("cells", {"stride": 600}, "cell size in metres: 1200 and 600"),
        ("pixels", {"resolution": 10}, "pixel size in metres: 20 and 10"),
        ("cells", {"names": "clc43"}, "nomenclature"),
        ("pixels", {"classes": BEN19.names[::-1]}, "list of classes"),
        ("pixels", {"grid": made_header(resolution=20).grid.part(0, 0, 60, 60)}, "another extent"),
    ],
)
def test_maps_of_another_grid_are_refused(
    tmp_path: Path, kind: str, changes: dict[str, Any], message: str
) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    other = write_made(kind, tmp_path / "other.tif", **changes)
    with pytest.raises(ParameterError, match=message):
        compare_files(made.path, other.path, tmp_path / "change.tif")
    assert not (tmp_path / "change.tif").exists()


def test_maps_that_have_nothing_in_common_are_refused(tmp_path: Path) -> None:
    cells = write_made("cells", tmp_path / "cells.tif", outputs=("classes",))
    pixels = write_made("pixels", tmp_path / "pixels.tif")
    with pytest.raises(ParameterError, match="another unit: cells and pixels"):
        compare_files(cells.path, pixels.path, tmp_path / "change.tif")
    with pytest.raises(OutputError, match="geolulc's classes raster of cells"):
        compare_files(cells.path, tmp_path / "cells_classes.tif", tmp_path / "change.tif")
    compare_files(cells.path, cells.path, tmp_path / "change.tif")
    with pytest.raises(OutputError, match=r"change\.tif: found geolulc's change raster"):
        compare_files(cells.path, tmp_path / "change.tif", tmp_path / "again.tif")


@pytest.mark.parametrize(
    ("codes", "dtype", "factor", "nodata"),
    [
        ((1, 98), "uint16", 100, 0),
        ((0, 98), "uint16", 100, 65535),
        ((1, 99), "uint32", 1000, 0),
        ((0, 998), "uint32", 1000, 2**32 - 1),
    ],
)
def test_a_transition_holds_both_codes(codes, dtype, factor, nodata) -> None:
    header = header_with(codes)
    values = Transitions.of(header)
    low, high = np.array(codes, header.nomenclature.code_type)
    none = header.nomenclature.code_type(header.no_class)
    old = np.array([[low, high, high, none]])
    new = np.array([[low, low, high, low]])
    shown, transitions = values.bands(old, new)
    assert shown.dtype == dtype
    assert shown.tolist() == [[factor - 1, low, factor - 1, nodata]]
    both = [[factor * int(a) + int(b) for a, b in zip(old[0], new[0], strict=True)]]
    assert transitions.tolist() == [[*both[0][:3], nodata]]


def test_codes_that_a_transition_cannot_hold_are_refused() -> None:
    with pytest.raises(ParameterError, match="class codes up to 999; expected codes below 999"):
        Transitions.of(header_with((1, 999)))


def header_with(codes: tuple[int, ...]) -> MapHeader:
    """A map of classes with these codes."""
    classes = [{"name": str(c), "code": c, "color": "#ffffff"} for c in codes]
    made = nomenclature_of({"id": "made", "title": "", "classes": classes})
    return made_header(nomenclature=made, classes=made.names)


@both_kinds
def test_change_must_be_a_tif(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    with pytest.raises(ParameterError, match=r"'\.png'"):
        compare_files(made.path, made.path, tmp_path / "change.png")
