"""Neighbours are found, to the metre; splits by blocks have none in another split."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from made_archives import make_patch, make_store

from geolulc.cli import cli
from geolulc.datasets import open_store
from geolulc.datasets.ground import Ground, split_of_block

ZONE = "EPSG:32633"


def test_neighbours_touch_and_others_do_not() -> None:
    ground = Ground.of([ZONE, ZONE], [300_000, 300_000], [5_000_000, 5_000_000])
    assert len(ground) == 1
    for left, top, expected in (
        (0, 0, True),  # itself
        (1200, 0, True),  # an edge
        (-1200, 1200, True),  # a corner
        (600, 60, True),  # partly the same
        (1210, 0, False),
        (0, -1210, False),
        (2400, 2400, False),
    ):
        at = [300_000 + left], [5_000_000 + top]
        assert ground.touched([ZONE], *at, 1200).tolist() == [expected], (left, top)
        assert not ground.touched(["EPSG:32634"], *at, 1200).any()
    assert not Ground().touched([ZONE], [300_000], [5_000_000], 1200).any()


def test_ground_as_text_is_small_and_comes_back() -> None:
    random = np.random.default_rng(0)
    column, row = np.divmod(np.arange(91 * 91), 91)
    # a tile with every third patch missing, in each of two zones
    kept = random.random(len(column)) < 0.67
    left, top = 300_000 + 1200 * column[kept], 5_000_040 - 1200 * row[kept]
    zones = [ZONE if x % 2400 else "EPSG:32634" for x in left]
    ground = Ground.of(zones, left, top)
    text = ground.as_text()
    assert sum(map(len, text.values())) < len(ground)  # a byte a patch
    again = Ground.from_text(text)
    assert again.zones.keys() == ground.zones.keys()
    for zone, own in ground.zones.items():
        assert np.array_equal(again.zones[zone], own)
    assert len(again | ground) == len(ground)
    both = ground | Ground.of(["EPSG:32601"], [500_000], [10_000])
    assert len(both) == len(ground) + 1
    for damaged in ("no base 85: \x7f", text[ZONE][:-20]):
        with pytest.raises(ValueError, match="cannot be read"):
            Ground.from_text({ZONE: damaged})


def test_patches_in_different_splits_never_touch_in_blocks() -> None:
    column, row = (x.ravel() for x in np.meshgrid(np.arange(200), np.arange(200)))
    # tiles do not start where blocks do, nor where each other's patches do
    left, top = 299_980.0 + 1200 * column, 5_000_040.0 - 1200 * row
    splits = np.array(
        [split_of_block(ZONE, x, y) or "none" for x, y in zip(left, top, strict=True)]
    )
    shares = {name: float((splits == name).mean()) for name in ("train", "val", "test", "none")}
    assert 0.3 < shares["train"] < 0.7
    assert shares["val"] > 0.05
    assert shares["test"] > 0.05
    assert shares["none"] < 0.2
    for one in ("train", "val", "test"):
        rows = splits == one
        ground = Ground.of([ZONE] * rows.sum(), left[rows], top[rows])
        others = (splits != one) & (splits != "none")
        assert not ground.touched([ZONE] * others.sum(), left[others], top[others], 1200).any()


def test_a_store_says_how_many_test_patches_touch_training_ground(tmp_path) -> None:
    def patch(index: int):
        split = ("train", "test", "val", "test")[index]
        left = 300_000.0 + (0, 1200, 2400, 60_000)[index]
        made = make_patch(index, split=split)
        return replace(made, crs=ZONE, left=left, top=5_000_040.0)

    path = make_store(tmp_path / "four.store", 4, patch=patch)
    store = open_store(path)
    assert dict(store.touching_training) == {"val": 0, "test": 1}
    result = CliRunner().invoke(cli, ["info", str(path), "--json"])
    assert json.loads(result.output)["touching_training_ground"] == {"val": 0, "test": 1}
