from __future__ import annotations

import numpy as np
import pytest
from made_map import made_map

from geolulc.landcover_map import LandCoverMap
from geolulc.outputs import cells
from geolulc.outputs.areas import cell_areas


def a_map(probabilities: dict[str, float], **changes: object) -> LandCoverMap:
    """Everywhere the named classes as given, the others 0; cell (0, 0) is nodata."""
    template = made_map(nodata=0)
    p = np.zeros_like(template.probabilities)
    for name, value in probabilities.items():
        p[template.classes.index(name)] = value
    p[:, 0, 0] = np.nan
    return made_map(nodata=0, probabilities=p, **changes)


def test_dominant_class_is_the_most_probable_and_ties_go_to_the_first() -> None:
    codes = cells.dominant_codes(a_map({"Pastures": 0.6, "Marine waters": 0.9}))
    assert codes.dtype == np.uint8
    assert codes[0, 0] == 0
    assert set(codes.ravel()[1:]) == {19}
    assert cells.dominant_codes(a_map({"Pastures": 0.5, "Marine waters": 0.5}))[2, 2] == 5


def test_presence_is_reaching_the_classs_own_threshold() -> None:
    thresholds = np.full(19, 0.5)
    thresholds[4] = 0.6
    present = cells.present_classes(
        a_map({"Pastures": 0.6, "Marine waters": 0.49}, thresholds=tuple(thresholds))
    )
    assert present[4, 1, 1] == 1
    assert present[18, 1, 1] == 0
    assert (present[:, 0, 0] == 255).all()


def test_without_thresholds_one_half_decides() -> None:
    present = cells.present_classes(a_map({"Pastures": 0.5, "Marine waters": 0.49}, thresholds=()))
    assert present[4, 1, 1] == 1
    assert present[18, 1, 1] == 0


def test_entropy_and_margin() -> None:
    sure = a_map({"Pastures": 1.0})
    assert cells.entropy(sure)[1, 1] == 0
    assert cells.margin(sure)[1, 1] == 1
    assert np.isnan(cells.entropy(sure)[0, 0])
    assert np.isnan(cells.margin(sure)[0, 0])
    unsure = a_map({"Pastures": 0.5, "Marine waters": 0.25})
    assert cells.entropy(unsure)[1, 1] == pytest.approx((1 + 0.8112781) / 19)
    assert cells.margin(unsure)[1, 1] == 0.25


def test_summaries_weigh_by_area_and_cover_the_map() -> None:
    landcover_map = made_map(nodata=0.2, seed=3)
    summaries = cells.summarize_classes(landcover_map)
    areas = cell_areas(landcover_map.grid)
    mapped = cells.mapped_cells(landcover_map)
    assert [s.land_cover.name for s in summaries] == list(landcover_map.classes)
    assert sum(s.area_ha for s in summaries) == areas[mapped].sum()
    assert sum(s.cells for s in summaries) == mapped.sum()
    assert sum(s.share for s in summaries) == pytest.approx(1)
    p = landcover_map.probabilities[7].astype(float)
    assert summaries[7].expected_area_ha == pytest.approx(np.nansum(p * areas))
    assert summaries[7].mean_probability == pytest.approx(
        np.average(p[mapped], weights=areas[mapped])
    )


def test_a_map_without_data_has_no_areas() -> None:
    summaries = cells.summarize_classes(made_map(nodata=1.0))
    assert {s.area_ha for s in summaries} == {0.0}
    assert {s.share for s in summaries} == {0.0}
    assert all(np.isnan(s.mean_probability) for s in summaries)
