"""``geolulc map`` on Dask: the same files as without, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rasterio
from made_product import make_product, random_bands

from geolulc.bands import BAND_NAMES
from geolulc.cli import main
from geolulc.cluster.connection import local_cluster
from geolulc.cluster.model_files import ModelFile
from geolulc.cluster.scenes import SceneWork
from geolulc.cluster.worker import LEDGERS
from geolulc.errors import CheckpointError, OutputError
from geolulc.mapping import MapOptions
from geolulc.mapping.scenes import Writing
from geolulc.nets import Model, NetConfig, Normalisation, build_net, save_checkpoint
from geolulc.nomenclature import BEN19
from geolulc.outputs.options import OutputOptions

OPTIONS = ("--outputs", "probabilities,classes", "--mask-scl", "none", "--device", "cpu")
#: Overlapping patches on one thread: some seconds a scene.
SLOW = ("--stride", "120", "--threads", "1", "--batch-size", "4")


def wait_for(what, seconds=60.0):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def client():
    with local_cluster(2) as client:
        yield client


@pytest.fixture(scope="module")
def address(client):
    return client.scheduler.address


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in")
    return [
        make_product(folder, random_bands(2400, 2400, seed), tile=f"32T{letter}S")
        for seed, letter in enumerate("PQR")
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    normalisation = Normalisation(
        mean=dict.fromkeys(BAND_NAMES, 1500.0), std=dict.fromkeys(BAND_NAMES, 900.0)
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
def run(monkeypatch, capfd, model):
    def call(*arguments):
        given = ["geolulc", "map", *map(str, arguments), "-m", str(model), *OPTIONS]
        monkeypatch.setattr(sys, "argv", given)
        with pytest.raises(SystemExit) as done:
            main()
        return done.value.code or 0, *capfd.readouterr()

    return call


def start(model, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "geolulc", "map", *map(str, arguments), "-m", model, *OPTIONS],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a test run in a shell's background has SIGINT ignored, and would hand that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def require_same(one, other):
    """Equal to the byte; of rasters pixels and tags: GDAL's threads write tiles in any order."""
    if one.suffix != ".tif":
        assert one.read_bytes() == other.read_bytes()
        return
    with rasterio.open(one) as a, rasterio.open(other) as b:
        assert a.read().tobytes() == b.read().tobytes()
        assert (a.tags(), a.descriptions) == (b.tags(), b.descriptions)
        assert str(a.profile) == str(b.profile)  # nodata is nan, which is not itself


def attempts(client):
    """Processes that have begun an item of a run that is under way."""
    ledgers = client.get_metadata([LEDGERS], {})
    entries = [e for ledger in ledgers.values() if ledger for e in ledger.values()]
    return [a for e in entries if isinstance(e, dict) for a in e.get("attempts", ())]


def is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def leftovers(folder):
    return [p.name for p in folder.glob(".*")]


def test_the_same_files_as_without(tmp_path, monkeypatch, scenes, address, run):
    monkeypatch.chdir(tmp_path)
    assert run(*scenes, "-o", "alone", "-q")[0] == 0
    broken = make_product(tmp_path / "broken", random_bands(), tile="32TSS")
    next(broken.rglob("*_B02_10m.jp2")).unlink()
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(map(str, [*scenes[1:], scenes[1], "broken/" + broken.name])))
    code, stdout, stderr = run(scenes[0], listed, "-o", "maps", "--scheduler", address, "--json")
    assert code == 1
    results = json.loads(stdout)
    assert [r["error"] is None for r in results] == [True, True, True, False, False]
    assert "each product once" in results[3]["error"]
    assert results[4]["error"].startswith(str(broken))
    assert results[0]["files"]["probabilities"] == f"maps/{scenes[0].stem}.tif"
    assert stderr.splitlines()[-1] == "geolulc: 2 of 5 scenes failed"
    assert "5/5" in stderr
    made = sorted(p.name for p in Path("alone").iterdir())
    assert made == sorted(p.name for p in Path("maps").iterdir())
    for name in made:
        require_same(Path("alone") / name, Path("maps") / name)
    # done ones stay, and one scene may go to a file of its own
    code, stdout, _ = run(scenes[0], listed, "-o", "maps", "--scheduler", address, "--json", "-q")
    assert [r["skipped"] for r in json.loads(stdout)] == [True] * 3 + [False] * 2
    assert run(scenes[0], "-o", "one.tif", "--scheduler", address, "-q")[0] == 0
    assert Path("one_classes.tif").is_file()
    code, _, stderr = run(scenes[0], "-o", "one.tif", "--scheduler", address, "-q")
    assert code == 1
    assert "--overwrite" in stderr


def test_a_killed_worker_and_a_killed_client(tmp_path, scenes, client, address, model, run):
    maps = tmp_path / "maps"
    arguments = (*scenes, "-o", maps, "--scheduler", address, *SLOW)
    first = start(model, *arguments)
    wait_for(lambda: attempts(client))
    process = attempts(client)[0]
    time.sleep(0.5)
    os.kill(int(process.rpartition("-")[2]), signal.SIGKILL)
    wait_for(lambda: list(maps.glob("*S_*[0-9].tif")))
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    wait_for(lambda: not client.processing() or not any(client.processing().values()))
    done = {path: path.stat().st_mtime_ns for path in maps.glob("*S_*[0-9].tif")}
    assert 1 <= len(done) < 3
    code, _, stderr = run(*arguments, "-q")
    assert code == 0
    assert all(line.startswith("geolulc: caution: ") for line in stderr.splitlines())
    assert len(list(maps.glob("*S_*[0-9].tif"))) == 3
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    assert leftovers(maps) == []


def test_ctrl_c(tmp_path, scenes, model):
    maps = tmp_path / "maps"
    process = start(model, *scenes, "-o", maps, "--workers", 1, *SLOW, "-q")
    wait_for(lambda: list(maps.glob(".*.partial-*")))  # the worker is at the first of three scenes
    os.killpg(process.pid, signal.SIGINT)
    stderr = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert stderr == f"geolulc: {maps}: stopped; the same command goes on\n"
    assert leftovers(maps) == []
    wait_for(lambda: not is_alive(process.pid), 10)


def test_a_model_that_is_another_one_there(tmp_path, model):
    given = ModelFile.of(model)
    assert given.load().sha256 == given.sha256
    with pytest.raises(CheckpointError, match=r"on worker .*: found another file"):
        ModelFile(given.name, "0" * 64).load()
    with pytest.raises(CheckpointError, match=r"on worker .*: found no such file"):
        ModelFile(str(tmp_path / "no.safetensors"), given.sha256).load()


def test_a_folder_that_is_not_shared(tmp_path, monkeypatch):
    monkeypatch.setattr("geolulc.cluster.scenes._VISIBLE_SECONDS", 0.1)
    writing = Writing(OutputOptions())
    work = SceneWork((), tmp_path, MapOptions(), writing, False, tmp_path / ".marker")
    with pytest.raises(OutputError, match="not the folder that the client sees"):
        work.prepare(1)


@pytest.mark.parametrize(
    "given", [["--workers", "0"], ["--workers", "2", "--scheduler", "tcp://x"]]
)
def test_wrong_usage(tmp_path, run, given):
    assert run(tmp_path / "x.SAFE", "-o", tmp_path / "y", *given)[0] == 2
