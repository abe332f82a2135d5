"""Lists of target patches: the paper's chunk files in, ours out and in again."""

from __future__ import annotations

from pathlib import Path

import msgpack
import pytest
from datadings.writer import RawWriter
from small_disk import small_disk

from geolulc.errors import DatasetError, OutputError
from geolulc.transfer.job_folders import JobFolder
from geolulc.transfer.plan import subset
from geolulc.transfer.subsets import with_subsets, write_subsets


def names_of(store, positions) -> list[str]:
    return [store.keys[at] for at in positions.tolist()]


def test_what_is_written_is_read_again(three, regions, tmp_path: Path) -> None:
    region = regions["Kosovo"]
    write_subsets(tmp_path, three, region, (0, 2, 4, 1000), 3)
    folder = tmp_path / "seed3"
    assert sorted(f.name for f in folder.glob("*/*")) == ["2_train.csv", "4_train.csv"]
    found = with_subsets(three, regions, folder)["Kosovo"]
    for size in (2, 4):
        # whatever the seed, it is the list's
        assert subset(found, size, 0).tolist() == subset(region, size, 3).tolist()
    assert subset(found, 3, 0).tolist() == subset(region, 3, 0).tolist()
    assert found.identity() != region.identity()


def test_the_papers_chunk_files(three, regions, tmp_path: Path) -> None:
    wanted = regions["Kosovo"]["train"][[1, 5, 6]]
    (tmp_path / "kosovo").mkdir()
    file = tmp_path / "kosovo" / "3_train_data.msgpack"
    with RawWriter(file, overwrite=True, disable=True) as writer:
        for name in reversed(names_of(three, wanted)):
            writer.write(name, msgpack.packb({"key": name}))
    found = with_subsets(three, regions, tmp_path)["Kosovo"]
    assert subset(found, 3, 0).tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("{train[0]}\n{train[0]}\n", "1 patches"),
        ("{train[0]}\n", "1 patches"),
        ("{train[0]}\n{test[0]}\n", "2 patches, {test[0]} among them"),
        ("{train[0]}\nstranger\n", "'stranger'"),
    ],
)
def test_lists_that_do_not_fit(three, regions, tmp_path: Path, content: str, found: str) -> None:
    region = regions["Kosovo"]
    names = {split: names_of(three, region[split]) for split in ("train", "test")}
    (tmp_path / "Kosovo").mkdir()
    (tmp_path / "Kosovo" / "2_train.csv").write_text(content.format(**names))
    with pytest.raises(DatasetError) as error:
        with_subsets(three, regions, tmp_path)
    assert error.value.found == found.format(**names)
    assert "2_train.csv" in error.value.subject


def test_a_misspelt_region_is_said(three, regions, tmp_path: Path, caplog) -> None:
    write_subsets(tmp_path, three, regions["Kosovo"], (2,), 3)
    (tmp_path / "seed3" / "Kosvo").mkdir()
    with_subsets(three, regions, tmp_path / "seed3")
    (record,) = caplog.records
    assert record.getMessage().endswith("named like no region: 1, such as Kosvo")


def test_lists_of_a_spreadsheet(three, regions, tmp_path: Path) -> None:
    wanted = regions["Kosovo"]["train"][[1, 5, 6]]
    (tmp_path / "Kosovo").mkdir()
    lines = ["number;patch", *(f'{n};"{name}"' for n, name in enumerate(names_of(three, wanted)))]
    file = tmp_path / "Kosovo" / "3_train.csv"
    file.write_bytes("\r\n".join(lines).encode("utf-16"))
    assert (
        subset(with_subsets(three, regions, tmp_path)["Kosovo"], 3, 0).tolist() == wanted.tolist()
    )


def test_nothing_to_read(three, regions, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no list of target patches"):
        with_subsets(three, regions, tmp_path)
    (tmp_path / "Kosovo").mkdir()
    (tmp_path / "Kosovo" / "2_train_data.msgpack").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"2_train_data\.msgpack: found a list that"):
        with_subsets(three, regions, tmp_path)


def test_a_full_disk_is_one_line(three, regions, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        (disk / "full").write_bytes(bytes(8 * 1024))
        with pytest.raises(OutputError, match=r"2_train\.csv: found No space.* Free some space"):
            write_subsets(disk, three, regions["Kosovo"], (2,), 3)
        assert not list(disk.rglob("*.csv"))
        with (
            pytest.raises(OutputError, match=r"job: found No space.* Free some space"),
            JobFolder(disk, "job").claimed(),
        ):
            pass
