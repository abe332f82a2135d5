"""Sample points in a real QGIS: ready to be filled in, and what is filled in is assessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
from affine import Affine
from installed_qgis import needs_qgis_in_python, qgis_environment, run_in_qgis
from made_reference import write_class_file, write_classes
from make_scene import make_demo_scene

from geolulc.accuracy import SampleOptions, assess_map, draw_sample
from geolulc.accuracy.columns import MAP_CLASS, STORED

#: As users' class lists have them.
NAMES = ("Forêt & bois <dense>", "🌾 Acker, ‘Feld’", "W" * 200)


@needs_qgis_in_python
def test_points_are_filled_in_with_the_form_and_assessed(tmp_path: Path) -> None:
    scene = make_demo_scene(tmp_path, size=2520)
    codes = np.repeat(np.array([10, 20, 30], np.uint8), 84)[:, None].repeat(252, 1)
    place = Affine(10, 0, 600_000, 0, -10, 5_200_000)
    path = write_classes(tmp_path / "map.tif", codes, crs="EPSG:32632", transform=place)
    classes, points = write_class_file(tmp_path / "classes.toml", NAMES), tmp_path / "points.gpkg"
    draw_sample(path, points, SampleOptions(size=13, least=3), classes=classes, scene=scene)
    script = Path(__file__).with_name("form_in_qgis.py")
    found = run_in_qgis(script, points, tmp_path, environment=qgis_environment(tmp_path))

    assert found["listed"] == ["(not yet)", *NAMES]
    assert {found["widgets"][name] for name in ("reference", "alternative")} == {"ValueMap"}
    hidden = {name for name, widget in found["widgets"].items() if widget == "Hidden"}
    assert hidden == {"fid", MAP_CLASS, *STORED} == set(found["hidden_in_table"])
    assert set(found["read_only"]) == {"point", *hidden}
    asked = ["Point", "True class", "Second class that is right too", "Remark"]
    assert found["shown"] == asked
    assert found["legends"] == {
        "points": ["To be filled in", "Filled in"],
        "outlines": ["The pixel of a point"],
    }
    assert found["true_colour"] == [True, 3, True]
    assert (tmp_path / "form.png").stat().st_size > 20_000

    assert found["saved"] is True
    table = pyogrio.read_dataframe(points, layer="points").sort_values("point")
    assert table["reference"].tolist()[:-1] == [NAMES[i % 3] for i in range(12)]
    assert table["reference"].isna().tolist()[-1]
    right = (table["reference"] == table[MAP_CLASS])[:-1].sum()
    _, worth = assess_map(path, points, tmp_path / "worth", classes=classes)
    assert (worth["points"]["used"], worth["points"]["unlabelled"]) == (12, 1)
    assert np.trace(worth["matrix"]["counts"]) == right
