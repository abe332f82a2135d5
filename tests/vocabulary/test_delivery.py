"""Outputs for object stores: uploaded whole, the main one last, and gone on with after a fault."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_store import SECRET, Store, store

from geolulc import object_stores
from geolulc.cache import cache_folder
from geolulc.delivery import delivering, listed, place_of, present, with_urls
from geolulc.errors import GeolulcError, OutputError, ParameterError
from geolulc.ownership import ANY, MARKER, OWN
from geolulc.staging import claimed, require_free, staged

#: As geolulc's files say whose they are.
OURS = "GEOLULC_VERSION 1"


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with store(monkeypatch) as made:
        yield made


def write(url: str, text: str = OURS, overwrite: int = 0, names: str = "a.tif a.qml") -> Path:
    """Write a main file and others of ``names``, as a command does."""
    with delivering(url) as out:
        paths = [*(out.with_name(name) for name in names.split()), out]
        require_free(paths, overwrite=overwrite)
        with claimed(out), staged(paths, overwrite=overwrite) as files:
            for file in files:
                file.write_text(f"{text} {file.name}")
        return out


def left() -> list[Path]:
    """What is left in the cache, but for locks."""
    return [p for p in cache_folder().rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_the_main_one_comes_last(bucket: Store) -> None:
    write("s3://bucket/maps/map.tif")
    assert bucket.uploads() == ["maps/a.tif", "maps/a.qml", "maps/map.tif"]
    assert bucket.objects()["maps/map.tif"] == f"{OURS} map.tif".encode()
    assert sorted(bucket.objects()) == ["maps/a.qml", "maps/a.tif", "maps/map.tif"]
    assert left() == []


def test_what_is_there_is_not_replaced_unasked(bucket: Store) -> None:
    write("s3://bucket/map.tif")
    with pytest.raises(OutputError, match="it exists") as error:
        write("s3://bucket/map.tif", "other")
    assert with_urls(error.value).startswith("s3://bucket/a.tif: ")
    bucket.asked.clear()
    write("s3://bucket/map.tif", f"{OURS} again", overwrite=OWN)
    changes = [asked for asked in bucket.asked if asked.split()[0] in ("PUT", "DELETE")]
    # without the main one, nobody takes old and new for one output
    assert changes[0] == "DELETE map.tif"
    assert changes[1:] == ["PUT a.tif", "PUT a.qml", "PUT map.tif"]
    assert bucket.objects()["a.qml"] == f"{OURS} again a.qml".encode()


def test_files_of_others_stay(bucket: Store) -> None:
    bucket.put("map.tif", b"a holiday picture")
    with pytest.raises(OutputError, match="a file that geolulc did not write"):
        write("s3://bucket/map.tif", overwrite=OWN)
    assert bucket.objects() == {"map.tif": b"a holiday picture"}
    write("s3://bucket/map.tif", overwrite=ANY)
    assert bucket.objects()["map.tif"] == f"{OURS} map.tif".encode()


@pytest.mark.parametrize("fault", [403, "drop"])
@pytest.mark.parametrize("overwrite", [0, OWN])
def test_an_interrupted_upload_goes_on(
    bucket: Store, fault: int | str, overwrite: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if overwrite:
        write("s3://bucket/map.tif", f"{OURS} old")
    bucket.faults["PUT a.qml"] = fault
    with pytest.raises(OutputError) as error:
        write("s3://bucket/map.tif", overwrite=overwrite)
    found = "no permission" if fault == 403 else "no connection"
    assert found in str(error.value)
    assert "un the same command again" in str(error.value)
    assert "map.tif" not in bucket.objects()  # nobody takes it for complete
    assert bucket.objects()["a.tif"] == f"{OURS} a.tif".encode()
    bucket.faults.clear()
    bucket.asked.clear()
    write("s3://bucket/map.tif", overwrite=overwrite)
    assert bucket.uploads()[-1] == "map.tif"
    assert {data.decode() for data in bucket.objects().values()} == {
        f"{OURS} {name}" for name in ("a.tif", "a.qml", "map.tif")
    }
    assert left() == []


def test_complete_uploads_are_not_repeated(bucket: Store) -> None:
    from geolulc.delivery import deliver, waits

    bucket.faults["PUT map.tif"] = 403
    with pytest.raises(OutputError):
        write("s3://bucket/map.tif")
    bucket.faults.clear()
    bucket.asked.clear()
    bucket.put("a.qml", b"of somebody else")  # it came meanwhile
    with delivering("s3://bucket/map.tif") as out:
        assert waits(out)
        deliver([out.with_name("a.tif"), out.with_name("a.qml"), out])
        assert not waits(out)
    assert bucket.uploads() == ["a.qml", "map.tif"]
    assert left() == []


def test_a_folder_is_complete_with_its_marker(bucket: Store) -> None:
    def report(text: str, overwrite: int = 0) -> None:
        with (
            delivering("s3://bucket/out/report/") as out,
            staged([out], overwrite=overwrite, kind="report") as (folder,),
        ):
            folder.mkdir()
            (folder / f"{text}.md").write_text(text)

    report("one")
    assert bucket.uploads() == ["out/report/one.md", f"out/report/{MARKER}"]
    with pytest.raises(OutputError, match="it exists"):
        report("two")
    report("two", overwrite=OWN)
    assert sorted(bucket.objects()) == [f"out/report/{MARKER}", "out/report/two.md"]
    bucket.put("out/other/x.txt", b"mine")
    with (
        pytest.raises(OutputError, match="something that is no report"),
        delivering("s3://bucket/out/other") as out,
    ):
        require_free([out], overwrite=ANY, kind="report")


def test_what_is_there_can_be_read(bucket: Store) -> None:
    bucket.put("maps/b.json", b"{}")
    bucket.put("maps/a.tif", b"tif")
    with delivering("s3://bucket/maps") as out:
        assert listed(out) == ["a.tif", "b.json"]
        copy = present(out / "a.tif")
        assert copy is not None
        assert copy.read_bytes() == b"tif"
        assert with_urls(copy) == "s3://bucket/maps/a.tif"
        assert present(out / "c.tif") is None
        assert place_of(out) is not None
    assert not copy.exists()


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://bucket.example/map.tif", "a web address"),
        (f"s3://me:{SECRET}@bucket/map.tif", "a password"),
        ("s3://", "no bucket"),
        ("s3://bucket/a/../map.tif", "plain name"),
        ("s3://bucket/map.tif?versionId=1", "plain name"),
        ("abracadabra://bucket/map.tif", "no package for such addresses"),
    ],
)
def test_urls_that_are_no_outputs(url: str, found: str, tmp_path: Path, bucket: Store) -> None:
    with pytest.raises(ParameterError, match=found) as error, delivering(url) as out:
        require_free([out], overwrite=0)
    assert SECRET not in str(error.value)
    assert bucket.asked == []


def test_stores_that_cannot_be_used(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(url: str) -> str:
        with pytest.raises(GeolulcError) as error:
            write(url)
        assert "\n" not in str(error.value)
        assert SECRET not in str(error.value)
        return str(error.value)

    assert "no such bucket" in refused("s3://nowhere/map.tif")
    bucket.faults["PUT a.tif"] = 500
    assert "an answer that is no success" in refused("s3://bucket/map.tif")
    monkeypatch.setattr(object_stores, "_AGAIN", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "no connection" in refused("s3://bucket/other.tif")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    assert "no credentials" in refused("s3://bucket/other.tif")


def test_two_runs_in_one_folder(bucket: Store) -> None:
    with delivering("s3://bucket/maps/a.tif") as first:
        write("s3://bucket/maps/b.tif", names="")
        with staged([first]) as (file,):
            file.write_text(OURS)
    assert sorted(bucket.objects()) == ["maps/a.tif", "maps/b.tif"]
    assert left() == []


def test_a_journal_that_is_damaged(bucket: Store) -> None:
    """Everything is uploaded again."""
    bucket.faults["PUT map.tif"] = 403
    with pytest.raises(OutputError):
        write("s3://bucket/map.tif")
    (journal,) = cache_folder().rglob("*.journal")
    assert set(json.loads(journal.read_text())) == {"a.tif", "a.qml"}
    journal.write_text("[1")
    bucket.faults.clear()
    write("s3://bucket/map.tif", overwrite=OWN)
    assert len(bucket.objects()) == 3
