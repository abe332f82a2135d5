"""Tar archives: the same patches as from a folder; strangers' members are refused."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made_archives import make_v1, make_v2, v1_name

from geolulc.datasets import BrokenPatchesError, Lists, Selection, open_store, prepare_store
from geolulc.datasets.tars import list_patches
from geolulc.errors import DatasetError, ParameterError


def compress(path: Path, codec: str, ending: str) -> Path:
    target = path.with_name(path.name + ending)
    with pa.output_stream(str(target), compression=codec) as stream:
        stream.write(path.read_bytes())
    return target


@pytest.fixture(scope="module")
def v1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive as folder, .tar, .tar.gz and .tar.zst, with split lists beside them."""
    archive = make_v1(tmp_path_factory.mktemp("tar"), 7)
    plain = archive.with_name("BigEarthNet-S2-v1.0.tar")
    with tarfile.open(plain, "w") as tar:
        for folder in sorted(archive.iterdir()):
            tar.add(folder, f"BigEarthNet-v1.0/{folder.name}")
    compress(plain, "gzip", ".gz")
    compress(plain, "zstd", ".zst")
    return archive


def records(store: Path) -> list[bytes]:
    return [f.read_bytes() for f in sorted(store.glob("shard-*/patches.msgpack"))]


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.zst"])
def test_the_same_records_as_from_the_folder(v1: Path, tmp_path: Path, ending: str) -> None:
    prepare_store(v1, tmp_path / "folder", shard_size=3)
    prepare_store(v1.with_name(f"BigEarthNet-S2-v1.0{ending}"), tmp_path / "tar", shard_size=3)
    assert records(tmp_path / "folder") == records(tmp_path / "tar")
    assert (tmp_path / "folder/index.parquet").read_bytes() == (
        tmp_path / "tar/index.parquet"
    ).read_bytes()
    assert not list((tmp_path / "tar").rglob("*.spool"))


def test_a_compressed_archive_with_several_workers(v1: Path, tmp_path: Path) -> None:
    archive = v1.with_name("BigEarthNet-S2-v1.0.tar.gz")
    selection = Selection(limit=5)
    prepare_store(archive, tmp_path / "one", shard_size=2, selection=selection)
    prepare_store(archive, tmp_path / "two", shard_size=2, selection=selection, workers=2)
    assert records(tmp_path / "one") == records(tmp_path / "two")
    assert len(open_store(tmp_path / "two")) == 5


def test_a_stopped_run_of_a_compressed_archive_goes_on(v1: Path, tmp_path: Path) -> None:
    archive = v1.with_name("BigEarthNet-S2-v1.0.tar.zst")

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        prepare_store(archive, tmp_path / "s", shard_size=2, progress=stop)
    reports: list[int] = []
    prepare_store(
        archive, tmp_path / "s", shard_size=2, progress=lambda done, total: reports.append(done)
    )
    assert reports[0] == 3
    prepare_store(v1, tmp_path / "folder", shard_size=2)
    assert records(tmp_path / "s") == records(tmp_path / "folder")


def test_v2_with_its_reference_maps_beside(tmp_path: Path) -> None:
    folder = make_v2(tmp_path / "made", 4, reference_maps=True)
    plain = folder / "BigEarthNet-S2.tar"
    with tarfile.open(plain, "w") as tar:
        tar.add(folder / "BigEarthNet-S2", "BigEarthNet-S2")
    shutil.rmtree(folder / "BigEarthNet-S2")
    manifest = prepare_store(compress(plain, "zstd", ".zst"), tmp_path / "s", reference_maps=True)
    assert manifest["patches"]["with_reference_map"] == 4
    assert manifest["archives"][0]["dataset"] == "bigearthnet-v2"


@pytest.mark.parametrize("ending", [".tar", ".tar.zst"])
def test_reference_maps_in_a_tar_of_their_own(tmp_path: Path, ending: str) -> None:
    folder = make_v2(tmp_path / "made", 6, reference_maps=True)
    prepare_store(folder, tmp_path / "folder", reference_maps=True)
    plain = folder / "Reference_Maps.tar"
    with tarfile.open(plain, "w") as tar:
        # another order than the patches', and one map is missing
        for file in sorted(folder.glob("Reference_Maps/*/*/*.tif"), reverse=True)[1:]:
            tar.add(file, file.relative_to(folder))
    shutil.rmtree(folder / "Reference_Maps")
    if ending != ".tar":
        compress(plain, "zstd", ".zst")
        plain.unlink()
    manifest = prepare_store(folder, tmp_path / "s", reference_maps=True, workers=2)
    assert manifest["patches"]["with_reference_map"] == 5
    expected, found = open_store(tmp_path / "folder"), open_store(tmp_path / "s")
    kept = np.flatnonzero(found.has_reference)
    assert len(kept) == 5
    for position in kept.tolist():
        assert np.array_equal(found.read(position).reference, expected.read(position).reference)


def test_reference_maps_that_are_not_there(tmp_path: Path) -> None:
    folder = make_v2(tmp_path / "made", 2)
    with pytest.raises(DatasetError, match="Reference_Maps: found no such folder, nor a tar"):
        prepare_store(folder, tmp_path / "s", reference_maps=True)
    (folder / "Reference_Maps.tar.zst").write_bytes(b"no archive")
    with pytest.raises(DatasetError, match=r"Maps\.tar\.zst: found an archive that cannot"):
        prepare_store(folder, tmp_path / "s", reference_maps=True)


def test_countries_need_a_list(v1: Path, tmp_path: Path) -> None:
    archive = tmp_path / "BigEarthNet-S2-v1.0.tar"
    shutil.copy(v1.with_name(archive.name), archive)
    lists = Lists(splits=v1.parent / "splits")
    selection = Selection(countries=("Austria",))
    with pytest.raises(ParameterError, match="countries are not known before it is read"):
        prepare_store(archive, tmp_path / "s", lists=lists, selection=selection)
    lines = [f"S1A,{v1_name(i)},{'Austria' if i else 'Serbia'},Summer" for i in range(7)]
    file = tmp_path / "s1_s2_name_country_season.csv"
    file.write_text("\n".join(["header", *lines]))
    manifest = prepare_store(archive, tmp_path / "s", lists=lists, selection=selection)
    assert manifest["patches"]["by_country"] == {"Austria": 6}
    assert manifest["left_out"] == {"country": 1}
    serbia = Selection(countries=("Serbia",))
    with pytest.raises(DatasetError, match="a patch of Austria by its georeference; expected one"):
        prepare_store(archive, tmp_path / "t", lists=lists, selection=serbia)


def make_tar(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def member(name: str, **attributes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


@pytest.mark.parametrize(
    ("hostile", "found"),
    [
        (member("/etc/passwd", size=3), "a member that lies outside the archive: '/etc/passwd'"),
        (member("a/../../b.tif", size=3), "a member that lies outside the archive"),
        (member("a/x", type=tarfile.SYMTYPE, linkname="/etc"), "no ordinary file or folder"),
        (member("a/x", type=tarfile.LNKTYPE, linkname="a/y"), "no ordinary file or folder"),
        (member("a/x", type=tarfile.CHRTYPE), "no ordinary file or folder"),
        (member("a/x", type=tarfile.FIFOTYPE), "no ordinary file or folder"),
        (member("a/b/b_B02.tif", size=2 << 20), "a member of 2097152 bytes: 'a/b/b_B02.tif'"),
    ],
)
def test_hostile_members_are_refused(tmp_path: Path, hostile: tarfile.TarInfo, found: str) -> None:
    archive = make_tar(tmp_path / "a.tar", member("a", type=tarfile.DIRTYPE), hostile)
    with pytest.raises(DatasetError, match=found):
        prepare_store(archive, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_header_that_would_fill_the_memory(tmp_path: Path) -> None:
    # an extended header of 4 GiB, of zeros: 4 MB of gzip
    info = member("x", type=tarfile.XHDTYPE, size=4 << 30)
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(info.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(64):
            stream.write(bytes(1 << 20))
    with pytest.raises(DatasetError, match="a header that is larger than any header"):
        prepare_store(path, tmp_path / "s")


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.zst"])
def test_an_archive_that_is_cut_short(v1: Path, tmp_path: Path, ending: str) -> None:
    whole = v1.with_name(f"BigEarthNet-S2-v1.0{ending}").read_bytes()
    for cut in (len(whole) // 2, 10, 0):
        (tmp_path / f"cut{ending}").write_bytes(whole[:cut])
        with pytest.raises(DatasetError, match="an archive that cannot be read"):
            prepare_store(tmp_path / f"cut{ending}", tmp_path / "s")


def test_a_plain_tar_cut_between_two_members(v1: Path, tmp_path: Path) -> None:
    whole = v1.with_name("BigEarthNet-S2-v1.0.tar")
    patches = list(list_patches(whole, lambda name: name.startswith("S2A")))
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[: patches[3].start])
    with pytest.raises(DatasetError, match="it ends too early"):
        prepare_store(cut, tmp_path / "s")


def test_files_of_a_patch_that_lie_apart(v1: Path, tmp_path: Path) -> None:
    first, second = (v1 / v1_name(i) for i in (0, 1))
    path = tmp_path / "apart.tar"
    with tarfile.open(path, "w") as tar:
        for folder in (first, second, first):
            tar.add(folder, f"B/{folder.name}")
    with pytest.raises(DatasetError, match=f"files of {first.name} in several places"):
        prepare_store(path, tmp_path / "s")


def test_a_tar_without_patches(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar", member("README", size=20))
    with pytest.raises(DatasetError, match="neither patch folders"):
        prepare_store(archive, tmp_path / "s")


def test_a_broken_patch_in_a_tar(v1: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.tar"

    def without_b09(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if info.name.endswith("_B09.tif") else info

    filters: list[Callable[[tarfile.TarInfo], tarfile.TarInfo | None] | None] = [None, without_b09]
    with tarfile.open(path, "w") as tar:
        for i, chosen in enumerate(filters):
            tar.add(v1 / v1_name(i), f"B/{v1_name(i)}", filter=chosen)
    lists = Lists(splits=v1.parent / "splits")
    with pytest.raises(BrokenPatchesError, match=f"{v1_name(1)}: found no file of B09"):
        prepare_store(path, tmp_path / "s", lists=lists)
    manifest = prepare_store(path, tmp_path / "s", lists=lists, skip_broken=True)
    assert manifest["patches"]["total"] == 1


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.zst"])
@pytest.mark.parametrize("damage", [bytes(512), b"x" * 512], ids=["zeros", "no header"])
def test_damage_in_the_middle_is_not_the_end(
    v1: Path, tmp_path: Path, ending: str, damage: bytes
) -> None:
    """tarfile stops at such a block without a word: six of seven patches would be lost."""
    data = bytearray((v1.with_name("BigEarthNet-S2-v1.0.tar")).read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        at = next(m.offset for m in tar if v1_name(1) in m.name)
    data[at : at + 512] = damage
    path = tmp_path / f"x{ending}"
    compression = {".tar.gz": "gzip", ".tar.zst": "zstd"}.get(ending)
    with pa.output_stream(str(path), compression=compression) as stream:
        stream.write(data)
    with pytest.raises(DatasetError, match=r"damaged header|more members behind an end"):
        list(list_patches(path, lambda name: True))


@pytest.mark.parametrize(
    "records",
    [
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
        {"GNU.sparse.size": "x"},
        {"GNU.sparse.map": "0,512,9", "GNU.sparse.realsize": "512"},
        {"size": "x"},
    ],
)
def test_sparse_and_other_pax_entries(tmp_path: Path, records: dict[str, str]) -> None:
    path = tmp_path / "x.tar"
    info = tarfile.TarInfo(f"{v1_name(0)}/{v1_name(0)}_B01.tif")
    info.size, info.pax_headers = 4, records
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(b"tiff"))
    with pytest.raises(DatasetError, match=r"cannot be read|no ordinary file"):
        list(list_patches(path, lambda name: True))
