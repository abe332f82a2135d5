"""``geolulc prepare`` as it is typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from in_process import Done, geolulc
from made_archives import make_v1, make_v2, v1_name
from small_disk import small_disk

from geolulc.datasets import open_store
from geolulc.datasets.ground import split_of_block


def run(*arguments: object) -> Done:
    return geolulc("prepare", *arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_v1(folder / "one", 5)
    make_v2(folder / "two", 5, snow=[2])
    return folder


def test_two_archives_into_one_store(made: Path, tmp_path: Path) -> None:
    done = run(made / "one/BigEarthNet-v1.0", made / "two", tmp_path / "s", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{tmp_path / 's'}: 9 patches (test 2, train 6, val 1)",
        "  bigearthnet-v1 (BigEarthNet-v1.0): splits from splits, country from georeference, "
        "season from date",
        "  no snow and cloud list: such patches are not recognised",
        "  bigearthnet-v2 (BigEarthNet-S2): metadata from metadata.parquet",
        "  left out: snow 1",
        "  kept without a class: 3",
        "  touch the ground of training patches: 1 of 1 val patches (100.0%), "
        "2 of 2 test patches (100.0%);",
        "    figures on them say more of the training ground than of others (--splits blocks)",
    ]
    assert "9/9" in done.stderr
    assert len(open_store(tmp_path / "s")) == 9


def test_json_and_flags(made: Path, tmp_path: Path) -> None:
    done = run(
        made / "two", tmp_path / "s", "--keep-snow", "--seasons", "Summer,Fall", "--json", "-q"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    store = open_store(tmp_path / "s")
    touching = {"touching_training_ground": dict(store.touching_training)}
    assert json.loads(done.stdout) == {**store.manifest, **touching}


def test_splits_by_blocks(made: Path, tmp_path: Path) -> None:
    archives = made / "one/BigEarthNet-v1.0", made / "two"
    done = run(*archives, tmp_path / "s", "--workers", 1, "--splits", "blocks", "-q")
    assert done.returncode == 0, done.stderr
    assert "splits from blocks of 24 km" in done.stdout
    store = open_store(tmp_path / "s")
    for index, split in enumerate(store.splits):
        patch = store.read(index)
        assert patch.split == split == split_of_block(patch.crs, patch.left, patch.top)
    assert set(store.touching_training.values()) == {0}


def test_broken_patches_are_all_named(made: Path, tmp_path: Path) -> None:
    archive = make_v1(tmp_path, 4)
    for i in (0, 2):
        (archive / v1_name(i) / f"{v1_name(i)}_B11.tif").write_bytes(b"II")
    done = run(archive, tmp_path / "s", "-q", "--workers", 1)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("broken: ") for line in lines[:2])
    assert {i for i in range(4) for line in lines[:2] if f"{v1_name(i)}_B11.tif" in line} == {0, 2}
    assert lines[2].startswith("geolulc: archive: found 2 broken patches: ")
    assert "Traceback" not in done.stderr
    (archive / v1_name(0) / f"{v1_name(0)}_B11.tif").unlink()
    shutil.rmtree(archive / v1_name(2))
    one = run(archive, tmp_path / "s", "-q", "--workers", 1)
    assert one.returncode == 1
    assert one.stderr == (
        f"geolulc: {archive / v1_name(0)}: found no file of B11; "
        "expected twelve GeoTIFFs, one a band. "
        "Restore what is broken, or leave it out with --skip-broken.\n"
    )
    skipped = run(archive, tmp_path / "s", "-q", "--workers", 1, "--skip-broken")
    assert skipped.returncode == 0
    assert "broken, left out: 1 (manifest.json names them)" in skipped.stdout


def test_wrong_usage_exits_with_2(made: Path, tmp_path: Path) -> None:
    assert run().returncode == 2
    assert run(made / "two").returncode == 2
    assert run(made / "two", tmp_path / "s", "--nomenclature", "ben20").returncode == 2
    assert run(made / "two", tmp_path / "s", "--limit", "0").returncode == 2
    nowhere = run(tmp_path / "nowhere", tmp_path / "s")
    assert nowhere.returncode == 1
    assert "geolulc: " in nowhere.stderr.splitlines()[-1]


def test_a_disk_that_is_full_from_the_start(made: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        (disk / "full").write_bytes(bytes(8 * 1024))
        done = run(made / "two", disk / "s", "-q")
    assert done.returncode == 1
    assert done.stderr.startswith(f"geolulc: {disk / 's'}: found No space left on device")
    assert done.stderr.count("\n") == 1
