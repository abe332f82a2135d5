from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest
import rasterio
from made_map import SOUTHERN_TILE, made_map

from geolulc.errors import ParameterError
from geolulc.landcover_map import LandCoverMap
from geolulc.outputs import compare_maps, describe_change, describe_map, write_change
from geolulc.outputs.areas import cell_areas
from geolulc.outputs.cells import dominant_codes, mapped_cells


@pytest.fixture
def pair() -> tuple[LandCoverMap, LandCoverMap]:
    before = made_map(seed=1)
    after = made_map(seed=1, probabilities=made_map(seed=2).probabilities)
    return before, after


def test_a_map_does_not_differ_from_itself() -> None:
    made = made_map()
    comparison = compare_maps(made, made)
    assert comparison.agreement == 1
    assert comparison.compared_ha == cell_areas(made.grid)[mapped_cells(made)].sum()
    assert np.count_nonzero(comparison.areas_ha - np.diag(np.diag(comparison.areas_ha))) == 0
    assert all(c.agreement == 1 or np.isnan(c.agreement) for c in comparison.classes)
    assert all(c.probability_change == 0 for c in comparison.classes)
    assert describe_change(comparison)["transitions"] == []


def test_matrix_and_agreement_count_cells_by_area(
    pair: tuple[LandCoverMap, LandCoverMap],
) -> None:
    before, after = pair
    comparison = compare_maps(before, after)
    old, new = dominant_codes(before), dominant_codes(after)
    areas = cell_areas(before.grid)
    for i in range(19):
        for j in range(19):
            cells = (old == i + 1) & (new == j + 1)
            assert comparison.areas_ha[i, j] == areas[cells].sum()
    both = (old > 0) & (new > 0)
    assert comparison.areas_ha.sum() == comparison.compared_ha == areas[both].sum()
    assert comparison.only_before_ha == areas[(old > 0) & (new == 0)].sum()
    assert comparison.only_after_ha == areas[(old == 0) & (new > 0)].sum()
    for c in comparison.classes:
        code = c.land_cover.code
        either = areas[((old == code) | (new == code)) & both].sum()
        if either:
            shared = areas[(old == code) & (new == code)].sum()
            assert c.agreement == pytest.approx(shared / either)
        difference = (after.probabilities - before.probabilities)[code - 1].astype(float)
        assert c.probability_change == pytest.approx(
            np.average(difference[both], weights=areas[both]), abs=1e-7
        )


def test_change_files_read_back(tmp_path: Path, pair: tuple[LandCoverMap, LandCoverMap]) -> None:
    comparison = compare_maps(*pair)
    paths = write_change(comparison, tmp_path / "change.tif")
    assert {p.name for p in tmp_path.iterdir()} == {
        "change.tif", "change.qml", "change_matrix.csv",
    }  # fmt: skip
    with rasterio.open(paths["change"]) as dataset:
        assert dataset.descriptions == ("New class", "Transition")
        new, transitions = dataset.read()
        assert dataset.transform == pair[0].grid.transform
    old, later = dominant_codes(pair[0]), dominant_codes(pair[1])
    both = (old > 0) & (later > 0)
    np.testing.assert_array_equal(transitions[both], 100 * old[both].astype(int) + later[both])
    assert not transitions[~both].any()
    np.testing.assert_array_equal(new[both & (old == later)], 99)
    np.testing.assert_array_equal(new[both & (old != later)], later[both & (old != later)])
    assert not new[~both].any()
    matrix = pandas.read_csv(paths["matrix"], index_col=0)
    assert list(matrix.index) == list(matrix.columns) == list(pair[0].classes)
    np.testing.assert_allclose(matrix.to_numpy(), comparison.areas_ha)
    story = describe_map(paths["change"])
    assert story["kind"] == "change"
    assert story["before"]["scene"] == dict(pair[0].scene)
    assert story["agreement"] == pytest.approx(comparison.agreement, abs=1e-6)


def test_maps_without_common_ground_have_no_agreement() -> None:
    comparison = compare_maps(made_map(), made_map(nodata=1.0))
    found = describe_change(comparison)
    assert found["agreement"] is None
    assert found["compared_ha"] == 0
    assert found["only_before_ha"] > 0
    assert found["classes"][0]["probability_change"] is None


def test_maps_of_another_grid_are_refused() -> None:
    with pytest.raises(ParameterError, match="coordinate reference system"):
        compare_maps(made_map(), made_map(SOUTHERN_TILE))
    with pytest.raises(ParameterError, match=r"cell size.*1200 and 600"):
        compare_maps(made_map(), made_map(stride=600))
    with pytest.raises(ParameterError, match="nomenclature"):
        compare_maps(made_map(), made_map(names="clc43"))


def test_change_must_be_a_tif(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"'\.png'"):
        write_change(compare_maps(made_map(), made_map()), tmp_path / "change.png")
