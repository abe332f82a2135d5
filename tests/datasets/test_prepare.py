"""prepare: what goes in, what stays out, what is broken, and that nothing depends on luck."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from made_archives import (
    ben19_labels,
    clc_labels,
    coded_dn,
    make_v1,
    make_v2,
    v1_name,
    v2_name,
    write_tiff,
)

from geolulc.datasets import (
    BrokenPatchesError,
    Lists,
    Selection,
    describe_store,
    open_store,
    prepare_store,
)
from geolulc.errors import DatasetError, OutputError, ParameterError
from geolulc.nomenclature import BEN19, CLC43


def contents(store: Path) -> dict[str, bytes]:
    return {str(f.relative_to(store)): f.read_bytes() for f in store.rglob("*") if f.is_file()}


@pytest.fixture(scope="module")
def v1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patches; read only."""
    return make_v1(tmp_path_factory.mktemp("v1"), 12)


@pytest.fixture(scope="module")
def v2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patches, 3 with snow, 5 with cloud; read only."""
    folder = tmp_path_factory.mktemp("v2")
    return make_v2(folder, 12, snow=[3], cloud=[5], reference_maps=True)


@pytest.fixture
def broken(v1: Path, tmp_path: Path) -> Path:
    """A copy of ``v1`` with three broken patches: 1, 4 and 9."""
    copy = tmp_path / "broken" / v1.name
    shutil.copytree(v1.parent, copy.parent)
    one, four, nine = (copy / v1_name(i) for i in (1, 4, 9))
    (one / f"{one.name}_B8A.tif").unlink()
    (four / f"{four.name}_labels_metadata.json").write_text("{")
    file = nine / f"{nine.name}_labels_metadata.json"
    file.write_text(file.read_text().replace('"labels": ["', '"labels": ["Volcanoes", "'))
    return copy


def test_what_the_store_holds(v1: Path, v2: Path, tmp_path: Path) -> None:
    manifest = prepare_store([v1, v2], tmp_path / "s", reference_maps=True)
    store = open_store(tmp_path / "s")
    assert manifest == store.manifest
    assert len(store) == 22
    assert store.keys[:12] == tuple(sorted(v1_name(i) for i in range(12)))
    assert set(store.keys[12:]) == {v2_name(i) for i in range(12) if i not in (3, 5)}
    for index, key in enumerate(store.keys):
        of_v1 = index < 12
        number = next(i for i in range(12) if (v1_name(i) if of_v1 else v2_name(i)) == key)
        patch = store.read(index)
        for resolution, group in coded_dn(number).items():
            np.testing.assert_array_equal(patch.dn[resolution], group)
        expected = clc_labels(number) if of_v1 else ben19_labels(number)
        assert patch.labels == expected
        assert patch.dataset == ("bigearthnet-v1" if of_v1 else "bigearthnet-v2")
        assert patch.split == ("train", "train", "val", "test")[number % 4]
        assert patch.date == ("2017-06-13T10:10:31" if of_v1 or "_T33" in key else patch.date)
        assert (patch.reference is None) == of_v1
        if patch.reference is not None:
            assert patch.reference[0, 59] == 311
            assert patch.reference[0, 60] == 211
    assert manifest["left_out"] == {"cloud": 1, "snow": 1}
    assert manifest["patches"]["by_dataset"] == {"bigearthnet-v1": 12, "bigearthnet-v2": 10}
    assert manifest["patches"]["with_reference_map"] == 10
    # every v2 patch lies on the ground of the v1 patch of the same number and split
    assert manifest["patches"]["shared_ground"] == {"same_split": 10, "different_splits": 0}


def test_class_counts(v1: Path, tmp_path: Path) -> None:
    manifest = prepare_store(v1, tmp_path / "s", nomenclature_id="clc43")
    store = open_store(tmp_path / "s")
    train = [set(clc_labels(i)) for i in range(12) if i % 4 < 2]
    frequencies = dict(zip(CLC43.names, manifest["classes"]["frequencies"]["train"], strict=True))
    together = np.array(manifest["classes"]["train_cooccurrence"])
    for i, a in enumerate(CLC43.names):
        assert frequencies[a] == sum(a in labels for labels in train)
        for j, b in enumerate(CLC43.names):
            assert together[i, j] == sum({a, b} <= labels for labels in train)
    assert manifest["patches"]["without_class"] == 0
    assert store.targets.sum() == sum(len(set(clc_labels(i))) for i in range(12))


def test_patches_without_a_class_are_kept_and_counted(tmp_path: Path) -> None:
    v1 = make_v1(tmp_path, 3, labels=lambda i: ["Airports"] if i == 1 else ["Pastures", "Airports"])
    manifest = prepare_store(v1, tmp_path / "s")
    assert manifest["patches"]["total"] == 3
    assert manifest["patches"]["without_class"] == 1
    store = open_store(tmp_path / "s")
    assert store.targets.sum(axis=1).tolist() == [1, 0, 1]
    assert store.targets[:, BEN19.index("Pastures")].tolist() == [1, 0, 1]
    assert store.read(1).labels == ("Airports",)


def test_the_same_bytes_whatever_the_workers(v1: Path, v2: Path, tmp_path: Path) -> None:
    for workers in (1, 3):
        prepare_store([v1, v2], tmp_path / f"w{workers}", workers=workers, shard_size=5)
    one = contents(tmp_path / "w1")
    assert len([name for name in one if name.endswith("patches.msgpack")]) == 5
    assert one == contents(tmp_path / "w3")


def test_progress_ends_at_the_total(v1: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        reports: list[tuple[int, int]] = []
        prepare_store(
            v1,
            tmp_path / f"w{workers}",
            workers=workers,
            shard_size=4,
            progress=lambda done, total, reports=reports: reports.append((done, total)),
        )
        assert reports[0] == (0, 12)
        assert reports[-1] == (12, 12)
        assert reports == sorted(reports)


def test_limit_is_the_same_for_the_same_seed_and_nested(v1: Path, tmp_path: Path) -> None:
    def keys(limit: int, seed: int) -> tuple[str, ...]:
        out = tmp_path / f"{limit}-{seed}"
        if not out.exists():
            prepare_store(v1, out, selection=Selection(limit=limit, seed=seed))
        return open_store(out).keys

    assert len(keys(5, 0)) == 5
    assert set(keys(3, 0)) < set(keys(5, 0))
    assert set(keys(5, 0)) != set(keys(5, 1))
    with pytest.raises(ParameterError, match="limit: found 0; expected a positive number"):
        Selection(limit=0)


def test_countries_and_seasons(v2: Path, v1: Path, tmp_path: Path) -> None:
    manifest = prepare_store(
        v2, tmp_path / "f", selection=Selection(countries=("Finland",), keep_snow=True)
    )
    assert manifest["patches"]["by_country"] == {"Finland": 4 - 0}
    seasons = prepare_store(v2, tmp_path / "fall", selection=Selection(seasons=("Fall",)))
    assert seasons["patches"]["by_season"] == {"Fall": seasons["patches"]["total"]}
    # v1 has no list of countries here: they come from where the patches lie, 33UUP in Austria
    austria = prepare_store(v1, tmp_path / "a", selection=Selection(countries=("Austria",)))
    assert austria["patches"]["by_country"] == {"Austria": 12}
    assert austria["archives"][0]["origin"]["country"] == "georeference"
    with pytest.raises(
        ParameterError, match=r"countries 'Peru': found no patch with it \(known: Austria\)"
    ):
        prepare_store(v1, tmp_path / "p", selection=Selection(countries=("Peru",)))


def test_countries_are_those_of_the_georeference(tmp_path: Path) -> None:
    archive = make_v1(tmp_path, 6)
    for index in (0, 1):
        file = archive / v1_name(index) / f"{v1_name(index)}_labels_metadata.json"
        document = json.loads(file.read_text())
        document.pop("coordinates")
        document["projection"] = "nonsense"
        file.write_text(json.dumps(document))
    (archive / v1_name(5) / f"{v1_name(5)}_B02.tif").unlink()
    selection = Selection(countries=("Austria",))
    manifest = prepare_store(archive, tmp_path / "a", selection=selection)
    assert manifest["patches"]["by_country"] == {"Austria": 5}
    assert manifest["left_out"] == {"country not known": 1}


def test_nothing_left_is_an_error(v2: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no patch left of 12 \(cloud: 1, season: 10, sn"):
        prepare_store(v2, tmp_path / "s", selection=Selection(seasons=()))


def test_v2_has_no_43_classes(v2: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="labels of the 19 classes only"):
        prepare_store(v2, tmp_path / "s", nomenclature_id="clc43")


def test_broken_patches_end_the_run_after_all_were_found(broken: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    for workers in (1, 2):
        with pytest.raises(BrokenPatchesError, match="found 3 broken patches: ") as caught:
            prepare_store(broken, out, workers=workers, shard_size=3)
        reasons = {b.name: f"{b.found}; {b.expected}" for b in caught.value.broken}
        assert set(reasons) == {v1_name(i) for i in (1, 4, 9)}
        assert reasons[v1_name(1)] == "no file of B8A; twelve GeoTIFFs, one a band"
        assert "a file that cannot be read" in reasons[v1_name(4)]
        (nine,) = (b for b in caught.value.broken if b.name == v1_name(9))
        assert nine.subject == str(broken / v1_name(9) / f"{v1_name(9)}_labels_metadata.json")
        assert "the label 'Volcanoes'" in reasons[v1_name(9)]
        assert all("\n" not in reason for reason in reasons.values())
        assert not out.exists()


def test_skip_broken_lists_them_in_the_manifest(broken: Path, tmp_path: Path) -> None:
    with pytest.raises(BrokenPatchesError):
        prepare_store(broken, tmp_path / "s", shard_size=3)
    manifest = prepare_store(broken, tmp_path / "s", shard_size=3, skip_broken=True)
    assert {b["name"] for b in manifest["broken"]} == {v1_name(i) for i in (1, 4, 9)}
    assert str(tmp_path) not in (tmp_path / "s/manifest.json").read_text()
    store = open_store(tmp_path / "s")
    assert store.keys == tuple(sorted(v1_name(i) for i in range(12) if i not in (1, 4, 9)))
    prepare_store(broken, tmp_path / "fresh", shard_size=3, skip_broken=True, workers=2)
    assert contents(tmp_path / "s") == contents(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("size", r"1 band\(s\) of uint16, 119 × 120 pixels; expected 1 band of uint16, 120 × 120"),
        ("type", r"1 band\(s\) of int16"),
        ("cut", "a file that cannot be read"),
        ("empty", "an empty file"),
        ("long", "more than 262144 bytes"),
        ("pipe", "no ordinary file"),
        ("crs", "no georeference of its kind"),
        ("resolution", "expected a UTM zone and north-up pixels of 10 m"),
    ],
)
def test_wrong_tiffs(v1: Path, tmp_path: Path, damage: str, found: str) -> None:
    archive = tmp_path / v1.name
    shutil.copytree(v1 / v1_name(0), archive / v1_name(0))
    shutil.copytree(v1.parent / "splits", tmp_path / "splits")
    file = archive / v1_name(0) / f"{v1_name(0)}_B02.tif"
    pixels = coded_dn(0)[10][0]
    whole = file.read_bytes()
    file.unlink()
    if damage == "size":
        write_tiff(file, pixels[1:], 10, 32633, 300000, 5400000)
    elif damage == "type":
        write_tiff(file, pixels.astype(np.int16), 10, 32633, 300000, 5400000)
    elif damage == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty":
        file.touch()
    elif damage == "pipe":
        os.mkfifo(file)
    elif damage == "long":
        file.write_bytes(whole + bytes(1 << 20))
    elif damage == "crs":
        with rasterio.open(
            file,
            "w",
            driver="GTiff",
            width=120,
            height=120,
            count=1,
            dtype="uint16",
            transform=rasterio.Affine(10, 0, 0, 0, -10, 0),
        ) as raster:
            raster.write(pixels, 1)
    else:
        write_tiff(file, pixels, 20, 32633, 300000, 5400000)
    with pytest.raises(BrokenPatchesError, match=found):
        prepare_store(archive, tmp_path / "s")
    with pytest.raises(DatasetError, match=r"not one whole patch \(1 broken\)"):
        prepare_store(archive, tmp_path / "s", skip_broken=True)


def test_one_patch_in_two_archives(v1: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / v1.name
    shutil.copytree(v1 / v1_name(2), copy / v1_name(2))
    with pytest.raises(DatasetError, match=f"{v1_name(2)}: found a patch that is in .* too"):
        prepare_store([v1, copy], tmp_path / "s", lists=Lists(splits=v1.parent / "splits"))


def test_not_an_archive(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="neither patch folders"):
        prepare_store(tmp_path, tmp_path / "s")
    with pytest.raises(DatasetError, match="found no such file or folder"):
        prepare_store(tmp_path / "nowhere", tmp_path / "s")
    (tmp_path / "a.zip").touch()
    with pytest.raises(DatasetError, match="found a file of another kind"):
        prepare_store(tmp_path / "a.zip", tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_v2_without_metadata(v2: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(v2 / "BigEarthNet-S2", moved / "BigEarthNet-S2")
    with pytest.raises(DatasetError, match=r"found no metadata\.parquet; .* --metadata"):
        prepare_store(moved, tmp_path / "s")
    lists = Lists(metadata=v2 / "metadata.parquet")
    assert prepare_store(moved, tmp_path / "s", lists=lists)["patches"]["total"] == 10
    (moved / "metadata.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match="a file that cannot be read"):
        prepare_store(moved, tmp_path / "t")


def test_v2_patches_that_the_metadata_do_not_know(v2: Path, tmp_path: Path) -> None:
    # as with the official metadata.parquet alone: snow and cloud have a file of their own
    rows = pq.read_table(v2 / "metadata.parquet").to_pylist()
    flags = ("contains_seasonal_snow", "contains_cloud_or_shadow")
    clear, other = ([r for r in rows if any(r[f] for f in flags) == bad] for bad in (False, True))
    (tmp_path / "one").mkdir()
    pq.write_table(pa.Table.from_pylist(clear), tmp_path / "one/metadata.parquet")
    shutil.copytree(tmp_path / "one", tmp_path / "both")
    pq.write_table(
        pa.Table.from_pylist(other),
        tmp_path / "both/metadata_for_patches_with_snow_cloud_or_shadow.parquet",
    )
    one, both = Lists(metadata=tmp_path / "one"), Lists(metadata=tmp_path / "both")
    manifest = prepare_store(v2, tmp_path / "a", lists=one)
    assert manifest["left_out"] == {"without metadata": 2}
    assert prepare_store(v2, tmp_path / "b", lists=both)["left_out"] == {"cloud": 1, "snow": 1}
    assert open_store(tmp_path / "a").keys == open_store(tmp_path / "b").keys
    keep = Selection(keep_snow=True)
    with pytest.raises(DatasetError, match=r"found 2 patches that they do not know; .* snow or cl"):
        prepare_store(v2, tmp_path / "c", lists=one, selection=keep)
    assert prepare_store(v2, tmp_path / "c", lists=both, selection=keep)["patches"]["total"] == 11


def test_the_store_exists(v1: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    prepare_store(v1, out, selection=Selection(limit=2))
    with pytest.raises(OutputError, match="it exists"):
        prepare_store(v1, out)
    assert len(open_store(out)) == 2
    prepare_store(v1, out, overwrite=True)
    assert len(open_store(out)) == 12
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s"]
    with pytest.raises(OutputError, match="no folder"):
        prepare_store(v1, tmp_path / "missing" / "s")


def test_nothing_but_a_store_is_replaced(v1: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").touch()
    (tmp_path / "file").touch()
    for name in ("photos", "file"):
        with pytest.raises(OutputError, match="something that is no store"):
            prepare_store(v1, tmp_path / name, overwrite=True)
    assert (tmp_path / "photos/cat.jpg").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "photos"]


@pytest.mark.parametrize("name", [".s.preparing", ".s.replaced"])
@pytest.mark.parametrize("link", [False, True])
def test_hidden_folders_of_others_are_not_emptied(
    v1: Path, tmp_path: Path, name: str, link: bool
) -> None:
    folder = tmp_path / ("photos" if link else name)
    folder.mkdir()
    (folder / "cat.jpg").touch()
    if link:
        (tmp_path / name).symlink_to(folder)
    with pytest.raises(OutputError, match=f"{name}: found something that is no store"):
        prepare_store(v1, tmp_path / "s")
    assert (folder / "cat.jpg").exists()
    assert not (tmp_path / "s").exists()


def test_a_second_run_at_the_same_time_is_refused(v1: Path, tmp_path: Path) -> None:
    def progress(done: int, total: int) -> None:
        with pytest.raises(OutputError, match="another run at work on it"):
            prepare_store(v1, tmp_path / "s")

    prepare_store(v1, tmp_path / "s", progress=progress)


def test_an_exception_leaves_nothing_that_looks_complete_and_a_rerun_goes_on(
    v1: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s"

    def stop_at_seven(done: int, total: int) -> None:
        if done == 7:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        prepare_store(v1, out, shard_size=3, progress=stop_at_seven)
    assert not out.exists()
    with pytest.raises(DatasetError, match=r"no manifest\.json"):
        open_store(tmp_path / ".s.preparing")
    reports: list[int] = []
    prepare_store(v1, out, shard_size=3, progress=lambda done, total: reports.append(done))
    assert reports[0] == 6  # two shards of three were there
    prepare_store(v1, tmp_path / "fresh", shard_size=3)
    assert contents(out) == contents(tmp_path / "fresh")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fresh", "s"]


def test_other_arguments_start_over(v1: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 4:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        prepare_store(v1, tmp_path / "s", shard_size=3, progress=stop)
    manifest = prepare_store(v1, tmp_path / "s", shard_size=3, nomenclature_id="clc43")
    assert manifest["nomenclature"] == CLC43.as_mapping()
    assert describe_store(tmp_path / "s", verify=True)["verified"]


KILLED = """
import os, sys, time
from pathlib import Path
from geolulc.datasets import prepare_store
if __name__ == "__main__":
    def progress(done, total):
        if done >= 5:
            print("ready", flush=True)
            time.sleep(60)
    prepare_store(Path(sys.argv[1]), Path(sys.argv[2]), shard_size=2, workers=int(sys.argv[3]),
                  progress=progress)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on(v1: Path, tmp_path: Path, workers: int) -> None:
    out = tmp_path / "s"
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    process = subprocess.Popen(
        [sys.executable, script, v1, out, str(workers)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not out.exists()
    reports: list[int] = []
    prepare_store(v1, out, shard_size=2, progress=lambda done, total: reports.append(done))
    assert reports[0] >= 2
    prepare_store(v1, tmp_path / "fresh", shard_size=2)
    assert contents(out) == contents(tmp_path / "fresh")


WORKER_KILLED = """
import multiprocessing, os, signal, sys
from pathlib import Path
from geolulc.datasets import prepare_store
if __name__ == "__main__":
    def progress(done, total):
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)
    try:
        prepare_store(Path(sys.argv[1]), Path(sys.argv[2]), shard_size=2, workers=2,
                      progress=progress)
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_a_killed_worker_is_an_error_and_no_hang(v1: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(WORKER_KILLED)
    done = subprocess.run(
        [sys.executable, script, v1, tmp_path / "s"], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("DatasetError a worker: found it was killed")
    assert not (tmp_path / "s").exists()


def test_damage_is_found(v1: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    prepare_store(v1, out, shard_size=6)
    assert json.loads(json.dumps(describe_store(out, verify=True)))["verified"]
    file = out / "shard-00001/patches.msgpack"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    (out / "shard-00000/patches.msgpack.keys").write_bytes(b"")
    with pytest.raises(
        DatasetError,
        match=r"found 2 damaged file\(s\): shard-00000/patches\.msgpack\.keys, "
        r"shard-00001/patches\.msgpack; expected the bytes that were written",
    ):
        describe_store(out, verify=True)
    assert "verified" not in describe_store(out)


LITTLE_SPACE = """
import resource, signal, sys
from pathlib import Path
from geolulc.datasets import prepare_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
prepare_store(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_no_space_left_is_said(v1: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    command = [sys.executable, "-c", LITTLE_SPACE, v1, out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "OutputError" in done.stderr
    assert "found File too large; expected to write the whole output" in done.stderr
    assert not out.exists()
    prepare_store(v1, out)
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("kind", ["lzw", "zstd", "tiled", "plain", "big-endian", "overviews"])
def test_unusual_tiffs_are_read_too(tmp_path: Path, kind: str) -> None:
    archive = make_v1(tmp_path, 1)
    name = v1_name(0)
    for band, resolution, channel in (("B03", 10, 1), ("B12", 20, 5), ("B02", 10, 0)):
        pixels = coded_dn(0)[resolution][channel]
        size = len(pixels)
        profile: dict[str, object] = {
            "lzw": {"compress": "lzw", "predictor": 2},
            "zstd": {"compress": "zstd"},
            "tiled": {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"},
            "plain": {},
            "big-endian": {"endianness": "big"},
            "overviews": {"compress": "deflate"},
        }[kind]
        file = archive / name / f"{name}_{band}.tif"
        file.unlink()
        with rasterio.open(
            file,
            "w",
            driver="GTiff",
            width=size,
            height=size,
            count=1,
            dtype="uint16",
            crs="EPSG:32633",
            transform=rasterio.Affine(resolution, 0, 300000, 0, -resolution, 5400000),
            **profile,
        ) as raster:
            raster.write(pixels, 1)
            if kind == "overviews":
                raster.build_overviews([2])
    prepare_store(archive, tmp_path / "s")
    patch = open_store(tmp_path / "s").read(0)
    for resolution, group in coded_dn(0).items():
        np.testing.assert_array_equal(patch.dn[resolution], group)
    assert (patch.crs, patch.left, patch.top) == ("EPSG:32633", 300000, 5400000)
