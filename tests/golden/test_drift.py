"""Maps of cells and of pixels keep the same promises: where the twins had drifted apart.

Each test failed before the two became one mechanism.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
from golden.cases import ALL, CELL_OUTPUTS, CUT, PIXEL_OUTPUTS, SIX, SMALL, Studio
from golden.facts import read_page
from golden.making import (
    Place,
    answer_when_done,
    command,
    remove_lost,
    scene_facts,
    write_cells,
    write_pixels,
)
from golden.values import cell_values, pixel_values

KINDS = ("cells", "pixels")


kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def mosaic(studio: Studio, tmp_path: Path) -> Any:
    """Makes a mosaic of the kind's maps: the path of its map.tif."""

    def make(kind: str, *arguments: object) -> Path:
        maps = studio.cell_maps() if kind == "cells" else studio.pixel_maps("top3")
        out = tmp_path / "map.tif"
        command("mosaic", maps, "-o", out, "-q", *arguments)
        return out

    return make


def regions(out: Path) -> Any:
    """The table of polygons of a map."""
    return pyogrio.read_dataframe(out.with_suffix(".gpkg"), layer="classes")


# bug 1: the report of a mosaic


@kinds
def test_the_report_of_a_mosaic_speaks_as_that_of_its_maps(
    tmp_path: Path, mosaic: Any, kind: str
) -> None:
    alone = tmp_path / "alone.tif"
    if kind == "cells":
        values = cell_values(len(ALL), *CUT.shape, seed=5)
        write_cells(alone, CUT, values, ("report",), classes=ALL)
    else:
        steps = pixel_values(len(SIX), *SMALL.shape, seed=5)
        write_pixels(alone, SMALL, steps, ("report",), classes=SIX)
    words, data, _ = read_page(alone.with_suffix(".html"))
    out = mosaic(kind, "--outputs", "report")
    found_words, found_data, _ = read_page(out.with_suffix(".html"))
    for key in ("unit", "exclusive", "doubt"):
        assert found_data[key] == data[key], key
    for start in ("| Class |", "Areas are ", "Bars: "):
        (said,) = (line for line in words if line.startswith(start))
        assert said in found_words
    assert f"{kind[:-1].capitalize()} under the pointer" in found_words


def test_no_cell_is_in_the_report_of_a_mosaic_of_pixels(mosaic: Any) -> None:
    out = mosaic("pixels", "--outputs", "report")
    words, data, _ = read_page(out.with_suffix(".html"))
    assert [line for line in words if re.search(r"\bcells?\b|1 bit", line, re.IGNORECASE)] == []
    assert data["unit"] == "pixel"
    assert data["exclusive"] is True
    assert data["doubt"].startswith("100 %")
    (header,) = (line for line in words if line.startswith("| Class |"))
    assert header.endswith("| Pixels")
    assert any("of the pixels have no data: none in the scene" in line for line in words)
    assert any(line.startswith("The model is unsure") for line in words)


# bug 2: the STAC Item of a mosaic


@kinds
def test_the_item_of_a_mosaic_says_what_it_consists_of(mosaic: Any, kind: str) -> None:
    out = mosaic(kind, "--outputs", "stac")
    item = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    number, size = {"cells": (4, 120), "pixels": (3, 20)}[kind]
    said = item["properties"]["description"]
    assert said.startswith(f"{number} maps combined by mean in {kind} of {size} m; ")


# bug 3: what a lost worker leaves

#: Of a map of each kind, two outputs that the kind has, and what follows the stem of their files.
TWO = {
    "cells": (("probabilities", "presence"), ("_presence.tif", "_presence.qml", ".qml")),
    "pixels": (("classes", "top3"), ("_top3.tif", "_top3.qml", ".tif.aux.xml")),
}


@kinds
@pytest.mark.parametrize("chosen", [True, False])
def test_the_files_of_a_lost_worker_go(tmp_path: Path, kind: str, chosen: bool) -> None:
    """It was killed between its renames: map.tif, the last one, has not its name yet."""
    outputs, endings = TWO[kind]
    out, other = tmp_path / "map.tif", tmp_path / "map_notes.txt"
    folder = tmp_path / ".map.tif.partial-abcdefgh-lost-host-1"
    folder.mkdir()
    published = [out.with_name(f"map{ending}") for ending in endings]
    for path in (folder / "map.tif", other, *published):
        path.touch()
    found = {path.name: path.stat() for path in (folder / "map.tif", *published)}
    new = {name: [s.st_ino, s.st_size, s.st_mtime_ns] for name, s in found.items()}
    (folder / ".publishing").write_text(json.dumps({"main": "map.tif", "new": new}))
    remove_lost(
        out,
        pixels=kind == "pixels",
        process="lost-host-1",
        outputs=outputs if chosen else (),
    )
    assert list(tmp_path.iterdir()) == [other]


def test_a_map_of_pixels_whose_worker_is_killed_is_made_by_another(
    tmp_path: Path, studio: Studio
) -> None:
    """And its answer names its files rightly (bug 4)."""
    out = tmp_path / "map.tif"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "geolulc", "map", studio.scene(), "-m", studio.pixel_model(),
            "-o", out, "--workers", "1", "--threads", "1", "--device", "cpu",
            "--outputs", "classes,top3", "--json", "-q",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while not (folders := list(tmp_path.glob(".map.tif.partial-*"))):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.005)
        os.kill(int(folders[0].name.rpartition("-")[2]), signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=180)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 0, stderr
    (result,) = json.loads(stdout)
    assert result["files"]["classes"] == str(out)
    with rasterio.open(tmp_path / "map_top3.tif") as dataset:
        assert dataset.count == 6
    assert [path.name for path in tmp_path.glob(".*")] == []


# bug 4: what --json says of a map that is there

MAIN = {"cells": "probabilities", "pixels": "classes"}


def model_of(studio: Studio, kind: str) -> Path:
    return studio.model() if kind == "cells" else studio.pixel_model()


@kinds
def test_a_skipped_map_is_called_what_it_holds(tmp_path: Path, studio: Studio, kind: str) -> None:
    """At the first run, at the second, and when workers are asked."""
    call = (
        "map", studio.scene(), "-m", model_of(studio, kind), "-o", tmp_path / "maps",
        "--device", "cpu", "--threads", "1", "--outputs", "probabilities,classes", "--json", "-q",
    )  # fmt: skip
    (first,) = json.loads(command(*call))
    assert first["skipped"] is False
    with rasterio.open(first["files"][MAIN[kind]]) as dataset:
        assert dataset.tags()["GEOLULC_FILE"] == MAIN[kind]
    expected = {MAIN[kind]: first["files"][MAIN[kind]]}
    for more in ((), ("--workers", "1")):
        (again,) = json.loads(command(*call, *more))
        assert again["skipped"] is True
        assert again["files"] == expected, more


@kinds
def test_a_map_whose_worker_was_lost_when_it_was_done_is_called_what_it_holds(
    tmp_path: Path, studio: Studio, kind: str
) -> None:
    out = tmp_path / "map.tif"
    model, scene = model_of(studio, kind), studio.scene()
    command("map", scene, "-m", model, "-o", out, "--outputs", MAIN[kind], "--device", "cpu", "-q")
    files = answer_when_done(out, model, scene, pixels=kind == "pixels")
    assert dict(files) == {MAIN[kind]: out}


# bug 5: regions of mosaics


@kinds
def test_regions_are_whole_however_large_a_mosaic_is(tmp_path: Path, kind: str) -> None:
    """Two long maps, 8,520 units together, of one class but for a stripe along them."""
    maps = tmp_path / "maps"
    maps.mkdir()
    size = {"cells": 60, "pixels": 10}[kind]
    rows = 1_200 // size
    for i, (first, last) in enumerate(((0, 4_500), (4_200, 8_520))):
        place = Place(
            "EPSG:3035",
            4_300_000.0 + first * size,
            2_800_000.0,
            (last - first) * size,
            1_200,
            size,
        )
        assert place.shape == (rows, last - first)
        stripe = np.zeros(place.shape, bool)
        stripe[rows // 2 : rows // 2 + 3] = True
        scene = scene_facts(f"scene-{i}")
        if kind == "cells":
            shares = np.ones(place.shape, np.float32)
            p = np.where(stripe, [[[0.25]], [[0.75]]], [[[0.75]], [[0.25]]]).astype(np.float32)
            write_cells(
                maps / f"{i}.tif", place, (p, shares, shares), CELL_OUTPUTS[:1], classes=ALL[:2],
                scene=scene,
            )  # fmt: skip
        else:
            steps = np.where(stripe, [[[50]], [[200]]], [[[200]], [[50]]]).astype(np.uint8)
            write_pixels(
                maps / f"{i}.tif", place, steps, PIXEL_OUTPUTS[:2], classes=ALL[:2], scene=scene
            )
    out = tmp_path / "map.tif"
    main = MAIN[kind]
    command("mosaic", maps, "-o", out, "--outputs", f"{main},vectors", "--no-cells", "-q")
    table = regions(out)
    below = rows - rows // 2 - 3
    expected = sorted(n * 8_520 for n in (rows // 2, 3, below))
    assert sorted(table.cells) == expected
    extents = table.bounds
    assert ((extents.maxx - extents.minx).round() == 8_520 * size).all()


@kinds
def test_mosaics_have_a_number_of_polygons_at_most(mosaic: Any, kind: str) -> None:
    arguments = ("--outputs", f"{MAIN[kind]},vectors", "--no-cells")
    table = regions(mosaic(kind, *arguments, "--max-polygons", "60"))
    assert 6 <= len(table) <= 60
    free = regions(mosaic(kind, *arguments, "--overwrite"))
    assert len(free) > 300
    if kind == "cells":  # of pixels, islands in nodata may be left out
        assert table.area_ha.sum() == pytest.approx(free.area_ha.sum(), rel=1e-9)


@kinds
@pytest.mark.parametrize(("name", "ending"), [("parquet", ".parquet"), ("flatgeobuf", ".fgb")])
def test_mosaics_have_vectors_in_every_format(
    mosaic: Any, kind: str, name: str, ending: str
) -> None:
    arguments = ("--outputs", f"{MAIN[kind]},vectors", "--no-cells")
    out = mosaic(kind, *arguments, "--vector-format", name)
    path = out.with_name(f"map_polygons{ending}")
    table = geopandas.read_parquet(path) if ending == ".parquet" else geopandas.read_file(path)
    assert not out.with_suffix(".gpkg").exists()
    usual = regions(mosaic(kind, *arguments, "--overwrite"))
    assert sorted(table.area_ha) == pytest.approx(sorted(usual.area_ha), rel=1e-12)


@kinds
def test_small_regions_of_a_mosaic_go_to_their_neighbours(mosaic: Any, kind: str) -> None:
    least = {"cells": 30.0, "pixels": 2.0}[kind]
    arguments = ("--outputs", f"{MAIN[kind]},vectors", "--no-cells")
    usual = regions(mosaic(kind, *arguments, "--min-area", "0"))
    table = regions(mosaic(kind, *arguments, "--min-area", f"{least}", "--overwrite"))
    assert (usual.area_ha < least).sum() > 100
    require_sieved(table, usual, least)


@kinds
def test_small_regions_of_a_map_go_to_their_neighbours(
    tmp_path: Path, studio: Studio, kind: str
) -> None:
    least = {"cells": 20.0, "pixels": 2.0}[kind]
    finer = ("--stride", "300") if kind == "cells" else ()
    tables = []
    for hectares in (0.0, least):
        out = tmp_path / f"map{hectares:g}.tif"
        command(
            "map", studio.scene(), "-m", model_of(studio, kind), "-o", out, "--device", "cpu",
            "--outputs", f"{MAIN[kind]},vectors", "--no-cells", "--min-area", hectares, "-q",
            *finer,
        )  # fmt: skip
        tables.append(regions(out))
    usual, table = tables
    assert (usual.area_ha < least).sum() > 2
    require_sieved(table, usual, least)


def require_sieved(table: Any, usual: Any, least: float) -> None:
    """What is still small is surrounded by nodata; no ground is lost."""
    assert table.area_ha.sum() == pytest.approx(usual.area_ha.sum(), rel=1e-9)
    assert len(table) <= len(usual) - (usual.area_ha < least).sum() // 2
    for index, region in table.geometry[table.area_ha < least].items():
        others = table.geometry.drop(index)
        touching = others[others.intersects(region)]
        # at corners only
        assert sum(region.intersection(other).length for other in touching) == 0
    # borders with nodata are made simpler as well
    areas = [found.geometry.union_all().area for found in (table, usual)]
    # by half a per cent at most
    assert areas[0] == pytest.approx(areas[1], rel=5e-3)
