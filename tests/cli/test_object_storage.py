"""Commands that write into an object store: the files of a folder, and the same command again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from made_mosaics import write_flat
from made_product import flat_bands, make_product
from made_store import SECRET, Store, store
from written_map import write_made

from geolulc.cli import main
from geolulc.nets import Model, NetConfig, Normalisation, build_net, save_checkpoint
from geolulc.nomenclature import BEN19

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("MPLCONFIGDIR", matplotlib.get_cachedir())  # its fonts are slow to list
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with store(monkeypatch) as made:
        yield made


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["geolulc", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        told = capsys.readouterr()
        assert SECRET not in told.out + told.err
        assert "/cache/" not in told.out + told.err  # of the work folder, which nobody knows
        return int(done.value.code or 0), told.out, told.err

    return call


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [f"B{n:02}" for n in range(1, 13) if n != 10] + ["B8A"]
    net = build_net(
        NetConfig(backbone="resnet10t"),
        classes=BEN19.names,
        nomenclature="ben19",
        normalisation=Normalisation(dict.fromkeys(names, 1500.0), dict.fromkeys(names, 900.0)),
        seed=0,
    )
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_checkpoint(path, Model(net.eval()))
    return path


def mapped(model: Path, *arguments: object) -> list[Any]:
    options = ("-m", model, "--device", "cpu", "--mask-scl", "none", "-q", "--json")
    return ["map", *arguments, *options, "--outputs", "probabilities,classes,vectors,stac"]


def test_a_map_is_that_of_a_folder(bucket: Store, run: Run, model: Path, tmp_path: Path) -> None:
    scene = make_product(tmp_path / "in", flat_bands(dn=2500))
    assert run(*mapped(model, scene, "-o", tmp_path / "map.tif"))[0] == 0
    code, out, err = run(*mapped(model, scene, "-o", "s3://bucket/maps/map.tif"))
    assert code == 0, err
    (result,) = json.loads(out)
    assert result["files"]["probabilities"] == "s3://bucket/maps/map.tif"
    objects = {name.removeprefix("maps/"): data for name, data in bucket.objects().items()}
    assert bucket.uploads()[-1] == "maps/map.tif"
    files = {path.name: path.read_bytes() for path in tmp_path.glob("map*")}
    assert objects.keys() == files.keys()
    different = {name for name in files if files[name] != objects[name]}
    assert different <= {"map.gpkg", "map.json", "map_model.json"}  # times, and where inputs lie
    item = json.loads(objects["map.json"])
    assert str(tmp_path) not in objects["map.json"].decode()
    assert {link["href"] for link in item["links"]} == {scene.name, "./map_model.json"}
    assert not any(SECRET.encode() in data for data in objects.values())
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.suffix != ".lock"]
    code, _, err = run(*mapped(model, scene, "-o", "s3://bucket/maps/map.tif"))
    assert code == 1
    assert "s3://bucket/maps/map" in err
    assert "found it exists" in err
    assert err.count("\n") == 1


def test_what_was_computed_is_not_computed_again(
    bucket: Store, run: Run, model: Path, tmp_path: Path
) -> None:
    scene = make_product(tmp_path / "in", flat_bands(dn=2500))
    command = mapped(model, scene, "-o", "s3://bucket/map.tif")
    bucket.faults["PUT map.gpkg"] = 403
    code, _, err = run(*command)
    assert code == 1
    assert "s3://bucket/map.gpkg: found no permission" in err
    assert err.count("\n") == 1
    assert "map.tif" not in bucket.objects()
    (made,) = (tmp_path / "cache").rglob("map.gpkg")
    before, done = made.read_bytes(), bucket.uploads()
    bucket.faults.clear()
    bucket.asked.clear()
    assert run(*command)[0] == 0
    assert bucket.uploads()[-1] == "map.tif"
    assert not set(bucket.uploads()) & (set(done) - {"map.gpkg"})
    assert bucket.objects()["map.gpkg"] == before  # it holds the time at which it was made


def test_another_scene_is_not_taken_for_it(
    bucket: Store, run: Run, model: Path, tmp_path: Path
) -> None:
    scenes = [make_product(tmp_path, flat_bands(dn=2500), tile=f"32T{x}S") for x in "PQ"]
    bucket.faults["PUT map.tif"] = 403
    assert run(*mapped(model, scenes[0], "-o", "s3://bucket/map.tif"))[0] == 1
    bucket.faults.clear()
    assert run(*mapped(model, scenes[1], "-o", "s3://bucket/map.tif"))[0] == 0
    assert scenes[1].stem in bucket.objects()["map.json"].decode()
    assert scenes[0].stem not in bucket.objects()["map.json"].decode()


def test_scenes_that_are_mapped_are_skipped(
    bucket: Store, run: Run, model: Path, tmp_path: Path
) -> None:
    scenes = [make_product(tmp_path, flat_bands(dn=2500), tile=f"32T{x}S") for x in "PQ"]
    bucket.put(f"maps/{scenes[0].stem}.json", b"mine")
    out = ("-o", "s3://bucket/maps")
    code, text, err = run(*mapped(model, *scenes, *out))
    assert code == 1
    assert "a file that geolulc did not write" in err
    assert [result["error"] is None for result in json.loads(text)] == [False, True]
    assert bucket.objects()[f"maps/{scenes[0].stem}.json"] == b"mine"
    bucket.asked.clear()
    code, text, err = run(*mapped(model, scenes[1], *out), "--stride", "600")
    assert "found a map made with stride 1200" in err
    code, text, err = run(*mapped(model, scenes[1], *out))
    assert code == 0, err
    (result,) = json.loads(text)
    assert result["skipped"]
    assert result["files"] == {"probabilities": f"s3://bucket/maps/{scenes[1].stem}.tif"}
    assert bucket.uploads() == []


def test_workers_upload_too(bucket: Store, run: Run, model: Path, tmp_path: Path) -> None:
    scene = make_product(tmp_path, flat_bands(dn=2500))
    out = ("-o", "s3://bucket/maps", "--workers", "1")
    code, text, err = run(*mapped(model, scene, *out))
    assert code == 0, err
    (result,) = json.loads(text)
    assert result["files"]["probabilities"] == f"s3://bucket/maps/{scene.stem}.tif"
    assert bucket.uploads()[-1] == f"maps/{scene.stem}.tif"


def test_mosaics_of_periods(bucket: Store, run: Run, tmp_path: Path) -> None:
    for day in ("2023-01-10", "2024-06-20"):
        write_flat("cells", tmp_path / "maps", day, 200, 30, 20, time=f"{day}T10:00:00Z")
    out = ("--group-by", "year", "--out", "s3://bucket/years", "-q", "--json")
    first, *_ = sorted((tmp_path / "maps").glob("*[0-9].tif"))
    code, text, err = run("mosaic", first, *out)
    assert code == 0, err
    assert "years/2023.tif" in bucket.objects()
    code, text, err = run("mosaic", tmp_path / "maps", *out)
    assert code == 0, err
    told = [(period["period"], period["skipped"]) for period in json.loads(text)]
    assert told == [("2023", True), ("2024", False)]
    collection = json.loads(bucket.objects()["years/collection.json"])
    assert collection["id"] == "years"
    assert [x["href"] for x in collection["links"] if x["rel"] == "item"] == [
        "./2023.json",
        "./2024.json",
    ]


def test_other_commands(bucket: Store, run: Run, tmp_path: Path) -> None:
    made = write_made("pixels", tmp_path / "map.tif").path
    for command in (
        ("sample", made, "--out", "s3://bucket/points.csv", "--size", "400", "-q"),
        ("compare", made, made, "--out", "s3://bucket/change.tif", "-q"),
        ("classes", "ben19", "--out", "s3://bucket/classes.toml"),
    ):
        code, _, err = run(*command)
        assert code == 0, err
        assert bucket.objects()[command[command.index("--out") + 1].removeprefix("s3://bucket/")]
        code, _, err = run(*command)
        assert code == 1
        assert "it exists" in err
    assert bucket.uploads()[-2] == "change.tif"


@pytest.mark.parametrize(
    "command",
    [
        ("train", "store", "s3://bucket/run"),
        ("label", "scene", "--out", "s3://bucket/run"),
        ("transfer", "store", "--out", "s3://bucket/run"),
        ("fetch", "name", "--out", "s3://bucket/run"),
        ("map", "scene", "--out", "/vsis3/bucket/map.tif"),
    ],
)
def test_commands_that_work_in_their_folder(command: tuple[str, ...], run: Run) -> None:
    """They read again what they write: an object store is no place for it."""
    code, _, err = run(*command)
    assert code == 1
    assert "found a place that is no file system" in err
    assert err.count("\n") == 1
