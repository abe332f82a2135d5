"""The main job from end to end, through the command line, on made data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from in_process import geolulc
from made_archives import make_v1
from make_scene import make_demo_scene

from geolulc.nomenclature import BEN19


def succeed(*arguments: object) -> str:
    result = geolulc(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after prepare, train and map, each one command."""
    folder = tmp_path_factory.mktemp("journey")
    archive = make_v1(folder, 12)
    scene = make_demo_scene(folder, size=2520)
    succeed("prepare", archive, folder / "ben.store", "--splits", archive.parent / "splits", "-q")
    succeed(
        *("train", folder / "ben.store", folder / "run", "--backbone", "test_resnet"),
        *("--epochs", 1, "-q"),
    )
    succeed("map", scene, "--out", folder / "map.tif", "--model", folder / "run", "-q")
    return folder


def test_the_map_has_a_named_band_a_class_in_the_right_place(journey: Path) -> None:
    with rasterio.open(journey / "map.tif") as source:
        assert source.descriptions == BEN19.names
        assert source.shape == (3, 3)
        values = source.read()
        assert source.tags()["GEOLULC_VERSION"]
    assert np.isfinite(values).all()
    assert values.min() >= 0
    assert values.max() <= 1


def test_evaluate_prints_scores_for_machines(journey: Path) -> None:
    scores = json.loads(
        succeed("evaluate", journey / "run", journey / "ben.store", "--split", "val", "--json")
    )
    assert 0 <= scores["figures"]["ap_micro"] <= 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ben.store", "store"),
        ("run", "model"),
        ("map.tif", "map"),
        ("*.SAFE", "Sentinel-2 product"),
    ],
)
def test_info_knows_what_each_thing_is(journey: Path, name: str, kind: str) -> None:
    (path,) = journey.glob(name)
    assert json.loads(succeed("info", path, "--json"))["kind"] == kind
    assert succeed("info", path).startswith(f"{path}: {kind}\n")


def test_nothing_is_overwritten_without_asking(journey: Path) -> None:
    (scene,) = journey.glob("*.SAFE")
    result = geolulc("map", scene, "--out", journey / "map.tif", "--model", journey / "run")
    assert result.returncode == 1
    assert "found it exists" in result.stderr
    assert "Traceback" not in result.stderr
