"""Many scenes in one call, and ``geolulc map`` on what cannot be mapped."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from made_pixel_nets import Itself, make_pixel_model
from made_product import Means, flat_bands, make_model, make_product, random_bands
from shapely import box
from small_disk import small_disk
from written_map import change_tags

from geolulc.analysis import describe_map
from geolulc.cli import main
from geolulc.errors import GeolulcError, OutputError, ParameterError, ProductError
from geolulc.mapping import MapOptions, map_scenes, predict_scene
from geolulc.mapping import scenes as scenes_module
from geolulc.maps.encoding import FULL
from geolulc.nets import Model, NetConfig, Normalisation, build_net, save_checkpoint
from geolulc.nomenclature import BEN19
from geolulc.outputs import OutputOptions, write_map
from geolulc.outputs.run_record import RUN
from geolulc.ownership import ANY, OWN
from geolulc.products import Jp2Image, open_product
from geolulc.products import product as product_module
from geolulc.staging import claimed

OUTPUT = OutputOptions(("probabilities", "classes"))
OPTIONS = MapOptions(device="cpu", mask_scl=())


@dataclass(frozen=True)
class Kind:
    """A kind of map.

    Attributes:
        model: whose last class is as probable as DN / 32768 says.
        main: the part that map.tif is.
        size: metres a side of its cells.
        other: options that give another size.
        scale: of the values of its file of probabilities.
    """

    model: Model
    main: str
    size: int
    other: dict[str, int]
    scale: float


KINDS = {
    "cells": Kind(make_model(Means()), "probabilities", 1200, {"stride": 600}, 1.0),
    "pixels": Kind(make_pixel_model(Itself()), "classes", 10, {"resolution": 20}, 1 / FULL),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def _scenes(folder, *values):
    return [
        make_product(folder, flat_bands(dn=value), tile=f"32T{letter}S")
        for letter, value in zip("PQRST", values, strict=False)
    ]


def _map(kind, scenes, out, options=OPTIONS, **writing):
    return map_scenes(scenes, out, [kind.model], options, output=OUTPUT, **writing)


class TestManyScenes:
    def test_each_gets_its_own_map(self, tmp_path, kind):
        scenes = _scenes(tmp_path / "in", 8192, 24576, 4096)
        results = _map(kind, scenes, tmp_path / "maps")
        assert [r.scene for r in results] == scenes
        for result, expected in zip(results, (0.25, 0.75, 0.125), strict=True):
            assert result.files[kind.main] == tmp_path / "maps" / f"{result.scene.stem}.tif"
            with rasterio.open(result.files["probabilities"]) as dataset:
                values = dataset.read(dataset.count) * kind.scale
                np.testing.assert_allclose(values, expected, rtol=1e-5, atol=kind.scale % 1 / 2)

    def test_done_ones_are_skipped_and_not_touched(self, tmp_path, kind):
        scenes = _scenes(tmp_path / "in", 8192, 16384)
        _map(kind, scenes[:1], tmp_path / "maps")
        done = tmp_path / "maps" / f"{scenes[0].stem}.tif"
        before = done.stat().st_mtime_ns
        results = _map(kind, scenes, tmp_path / "maps")
        assert [r.skipped for r in results] == [True, False]
        assert results[0].files == {kind.main: done}
        assert done.stat().st_mtime_ns == before
        results = _map(kind, scenes, tmp_path / "maps", overwrite=True)
        assert [r.skipped for r in results] == [False, False]

    def test_one_that_fails_does_not_keep_the_others(self, tmp_path, kind):
        scenes = _scenes(tmp_path / "in", 8192, 16384, 4096, 2048)
        next(scenes[1].rglob("*_B02_10m.jp2")).unlink()
        broken = next(scenes[3].rglob("*_B8A_20m.jp2"))
        os.truncate(broken, broken.stat().st_size // 2)
        results = _map(kind, [*scenes, tmp_path / "gone.SAFE"], tmp_path / "maps")
        by_scene = {r.scene: r for r in results}
        assert [by_scene[s].error is None for s in scenes] == [True, False, True, False]
        assert "no image of B02" in str(by_scene[scenes[1]].error)
        assert "_B8A_20m.jp2: found a damaged" in str(by_scene[scenes[3]].error)
        assert "nothing there" in str(by_scene[tmp_path / "gone.SAFE"].error)
        assert len(list((tmp_path / "maps").glob("*S_*[0-9].tif"))) == 2

    def test_the_next_decodes_before_the_last_is_written(self, tmp_path, monkeypatch, kind):
        scenes = _scenes(tmp_path / "in", 8192, 16384, 4096)
        happened, read = [], Jp2Image.read

        def decoding(image, *arguments):
            happened.append(f"decode {next(n for n in scenes if str(n) in image.path).stem}")
            read(image, *arguments)

        def writing(header, blocks, *arguments, **options):
            rows = list(blocks)
            # what is queued by now shall have begun
            time.sleep(0.3)
            happened.append(f"write {header.scene['name']}")
            return write_map(header, rows, *arguments, **options)

        monkeypatch.setattr(Jp2Image, "read", decoding)
        monkeypatch.setattr(scenes_module, "write_map", writing)
        _map(kind, scenes, tmp_path / "maps")
        first, second, third = (scene.stem for scene in scenes)
        assert happened.index(f"decode {second}") < happened.index(f"write {first}")
        assert happened.index(f"write {first}") < happened.index(f"decode {third}")

    def test_a_map_of_another_size_is_no_done_one(self, tmp_path, kind):
        scenes = _scenes(tmp_path / "in", 8192, 16384)
        _map(kind, scenes, tmp_path / "maps")
        results = _map(kind, scenes, tmp_path / "maps", replace(OPTIONS, **kind.other))
        (name,) = kind.other
        assert all(f"found a map made with {name} {kind.size}; " in str(r.error) for r in results)

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("min_valid", 0.25),
            ("mask_scl", (8, 9)),
            ("tta", True),
            ("aoi", "9.0,44.0,12.0,47.0"),
            ("dtype", "uint16"),
            ("outputs", ("probabilities", "classes", "vectors")),
        ],
    )
    def test_options_that_shape_a_map_are_told_apart(self, tmp_path, kind, option, value):
        if kind.size == 10 and option == "dtype":  # pixels are always uint8
            option, value = "resolution", 20
        scenes, out = _scenes(tmp_path / "in", 8192), tmp_path / "maps"
        _map(kind, scenes, out)
        before = {path: path.read_bytes() for path in out.iterdir()}
        if option in ("dtype", "outputs"):
            other = replace(OUTPUT, **{option: value})
            (result,) = map_scenes(scenes, out, [kind.model], OPTIONS, output=other)
        else:
            (result,) = _map(kind, scenes, out, replace(OPTIONS, **{option: value}))
        told = f"found a map made with (.*, )?{option} .*; expected .*{option} "
        assert re.search(told, str(result.error))
        assert {path: path.read_bytes() for path in out.iterdir()} == before
        # whatever it runs on, and however defaults are spelled
        same = replace(OPTIONS, threads=1, batch_size=3, verify=False)
        assert _map(kind, scenes, out, same)[0].skipped
        assert describe_map(out / f"{scenes[0].stem}.tif")["made_with"]["outputs"] == [
            "classes",
            "probabilities",
        ]

    def test_an_area_is_known_by_its_content(self, tmp_path, kind):
        scenes, out = _scenes(tmp_path / "in", 8192), tmp_path / "maps"
        area, copy = tmp_path / "area.gpkg", tmp_path / "copy.fgb"
        grid = open_product(scenes[0]).grid

        def write(path, left):
            square = box(left, grid.top - 1200, left + 1200, grid.top)
            geopandas.GeoSeries([square], crs=grid.crs).to_file(path)

        for path in (area, copy):
            write(path, grid.left)
        _map(kind, scenes, out, replace(OPTIONS, aoi=area))
        assert _map(kind, scenes, out, replace(OPTIONS, aoi=copy))[0].skipped
        write(area, grid.left + 1200)
        (result,) = _map(kind, scenes, out, replace(OPTIONS, aoi=area))
        assert "found a map made with aoi " in str(result.error)

    def test_a_map_without_a_record_is_known_by_its_tags(self, tmp_path, kind):
        """Of an older version."""
        scenes, out = _scenes(tmp_path / "in", 8192), tmp_path / "maps"
        _map(kind, scenes, out)
        change_tags(out / f"{scenes[0].stem}.tif", {RUN: ""})
        assert _map(kind, scenes, out, replace(OPTIONS, tta=True))[0].skipped
        (result,) = _map(kind, scenes, out, replace(OPTIONS, **kind.other))
        assert f"found a map of {kind.size} m" in str(result.error)

    def test_files_of_others_stay(self, tmp_path, kind):
        """In a folder, where what a killed run left is replaced without a question."""
        scenes, out = _scenes(tmp_path / "in", 8192), tmp_path / "maps"
        out.mkdir()
        mine = out / f"{scenes[0].stem}_classes.tif" if kind.size > 10 else None
        mine = mine or out / f"{scenes[0].stem}_probabilities.tif"
        mine.write_text("mine")
        for overwrite in (0, OWN):
            (result,) = _map(kind, scenes, out, overwrite=overwrite)
            assert "a file that geolulc did not write" in str(result.error)
            assert mine.read_text() == "mine"
        assert _map(kind, scenes, out, overwrite=ANY)[0].error is None

    def test_the_same_product_twice(self, tmp_path, kind):
        (scene,) = _scenes(tmp_path / "in", 8192)
        copy = Path(shutil.copytree(scene, tmp_path / "copy" / scene.name))
        results = _map(kind, [scene, copy], tmp_path / "maps")
        assert results[0].error is None
        assert "each product once" in str(results[1].error)

    def test_a_folder_is_needed(self, tmp_path, kind):
        scenes = _scenes(tmp_path / "in", 8192, 16384)
        with pytest.raises(ParameterError, match="a file for 2 scenes"):
            _map(kind, scenes, tmp_path / "map.tif")
        with pytest.raises(OutputError, match="found no folder"):
            _map(kind, scenes, tmp_path / "no" / "maps")


def test_one_run_a_map(tmp_path, kind):
    (scene,) = _scenes(tmp_path / "in", 8192)
    target = tmp_path / "map.tif"
    with claimed(target), pytest.raises(OutputError, match="another run at work on it"):
        _map(kind, [scene], target)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_images_are_compared_unless_that_is_declined(tmp_path, monkeypatch):
    (scene,) = _scenes(tmp_path / "in", 8192)
    seen = []
    monkeypatch.setattr(product_module, "verify_product", lambda *images: seen.append(images))
    for number, verify in enumerate((True, False)):
        options = MapOptions(device="cpu", mask_scl=(), verify=verify)
        output = OutputOptions(("probabilities",))
        target = tmp_path / f"{number}.tif"
        map_scenes([scene], target, [make_model(Means())], options, output=output)
        assert len(seen) == 1


def test_a_file_cut_while_it_is_mapped_leaves_nothing(tmp_path, monkeypatch, kind):
    scene = make_product(tmp_path / "in", random_bands(6000, 6000))

    def opened_then_cut(scene, **_):
        product = open_product(scene)
        path = Path(product.band_files["B12"])
        os.truncate(path, path.stat().st_size // 2)
        return product

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(scenes_module, "open_scene", opened_then_cut)
    with pytest.raises(ProductError, match=r"_B12_20m\.jp2: found a damaged file \(JP2 tile"):
        _map(kind, [scene], tmp_path / "out" / "map.tif")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path, kind):
    with small_disk(tmp_path / "disk", 24) as disk:
        scenes = _scenes(tmp_path / "in", 8192)
        output = OutputOptions(("probabilities", "classes", "picture"))
        with pytest.raises(GeolulcError, match="map"):
            map_scenes(scenes, disk / "map.tif", [kind.model], OPTIONS, output=output)
        assert list(disk.iterdir()) == []


def test_a_read_only_scene(tmp_path, kind):
    """Nothing is written beside what is read."""
    (scene,) = _scenes(tmp_path / "in", 8192)
    before = sorted(scene.rglob("*"))
    folders = [scene, *(p for p in before if p.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        predict_scene(scene, kind.model, device="cpu")
        assert sorted(scene.rglob("*")) == before
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    normalisation = Normalisation(
        mean=dict.fromkeys(
            ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"],
            1500.0,
        ),
        std=dict.fromkeys(
            ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"],
            900.0,
        ),
    )
    net = build_net(
        NetConfig(backbone="resnet10t"),
        classes=BEN19.names,
        nomenclature="ben19",
        normalisation=normalisation,
        seed=0,
    )
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_checkpoint(path, Model(net.eval()))
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["geolulc", "map", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        return done.value.code or 0, *capsys.readouterr()

    return call


class TestCommand:
    def test_one_scene(self, tmp_path, model, run):
        scene = make_product(tmp_path / "Żółty kraj", flat_bands(dn=2500))
        out = tmp_path / "aus gabe" / "karte.tif"
        out.parent.mkdir()
        arguments = [scene, "-o", out, "-m", model, "--device", "cpu"]
        code, stdout, stderr = run(*arguments, "--outputs", "probabilities,classes", "--json")
        assert code == 0, stderr
        (result,) = json.loads(stdout)
        assert result["files"]["probabilities"] == str(out)
        with rasterio.open(out) as dataset:
            assert dataset.count == 19
            assert dataset.descriptions[0] == "Urban fabric"
        assert "2.4" not in stdout
        # all of them, the rate, and the time left once there is a rate
        assert re.search(r"100%\|.*\| 4/4 \[\d\d:\d\d<\d\d:\d\d, .*windows/s\]", stderr)
        code, _, stderr = run(*arguments)
        assert code == 1
        assert "--overwrite" in stderr
        code, stdout, stderr = run(*arguments, "--overwrite", "--quiet", "--mask-scl", "none")
        assert code == 0
        assert all(line.startswith("geolulc: caution: ") for line in stderr.splitlines())
        assert str(out) in stdout

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["gone.SAFE", "-o", "a.tif"], "nothing there"),
            (["{scene}", "-o", "no/a.tif"], "found no folder"),
            (["{scene}", "-o", "a.png"], "expected .tif"),
            (["{scene}", "-o", "/vsis3/bucket/maps"], "no file system"),
            (["{scene}", "-o", "a.tif", "--stride", "500"], "multiple of 60"),
            (["{scene}", "-o", "a.tif", "--min-valid", "2"], "0..1"),
            (["{scene}", "-o", "a.tif", "--aoi", "100,1,101,2"], "outside the scene"),
            (["{scene}", "-o", "a.tif", "--device", "abacus"], "device 'abacus'"),
        ],
    )
    def test_bad_input(self, tmp_path, monkeypatch, model, run, arguments, message):
        monkeypatch.chdir(tmp_path)
        scene = make_product(tmp_path / "in")
        filled = [a.format(scene=scene) for a in arguments]
        code, stdout, stderr = run(*filled, "-m", model, "--quiet")
        assert code == 1
        assert message in stderr
        assert stderr.count("\n") == 1
        assert stdout == ""
        assert [p.name for p in tmp_path.iterdir()] == ["in"]

    def test_a_pickle_is_no_model(self, tmp_path, run):
        (tmp_path / "model.safetensors").write_bytes(b"\x80\x04\x95evil")
        scene = make_product(tmp_path / "in")
        code, _, stderr = run(scene, "-o", tmp_path / "a.tif", "-m", tmp_path / "model.safetensors")
        assert code == 1
        assert stderr.count("\n") == 1

    @pytest.mark.parametrize(
        "arguments", [[], ["x.SAFE"], ["x", "-o", "y", "--mask-scl", "cloud"], ["x", "--no-such"]]
    )
    def test_wrong_usage(self, run, arguments):
        code, _, stderr = run(*arguments)
        assert code == 2
        assert "Usage: geolulc map" in stderr

    def test_failures_are_told_at_the_end(self, tmp_path, model, run):
        scenes = _scenes(tmp_path / "in", 2500, 2500)
        next(scenes[0].rglob("MTD_TL.xml")).write_text("<x")
        code, stdout, stderr = run(
            *scenes, "-o", tmp_path / "maps", "-m", model, "-q", "--outputs", "probabilities"
        )
        assert code == 1
        assert f"{scenes[1]}: mapped" in stdout
        assert stderr.splitlines()[-1] == "geolulc: 1 of 2 scenes failed"
        assert "MTD_TL.xml: found damaged XML" in stderr
