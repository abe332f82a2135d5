"""Text files of people: whatever wrote them, they say the same."""

from __future__ import annotations

import bz2
import os
from pathlib import Path

import pytest

from geolulc.errors import ParameterError
from geolulc.text_files import TextFiles

FILES = TextFiles(ParameterError, "a list", "Give a list.", most=5000)


def bytes_of(text: str, form: str) -> bytes:
    if form == "crlf":
        return text.replace("\n", "\r\n").encode()
    if form == "cr":
        return text.replace("\n", "\r").encode()
    if form == "marks of two files":
        return b"\n\xef\xbb\xbf".join(line.encode() for line in text.splitlines())
    return text.encode(form)


FORMS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "crlf", "cr"]


@pytest.mark.parametrize("form", [*FORMS, "marks of two files"])
def test_forms_of_a_text(tmp_path: Path, form: str) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(bytes_of("a/Möhne.SAFE\nb c.zip", form))
    assert FILES.text(file) == "a/Möhne.SAFE\nb c.zip"
    assert FILES.paths(file) == ["a/Möhne.SAFE", "b c.zip"]


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("Path\na.SAFE\n", ["a.SAFE"]),
        ("# of June\n\n'a b.SAFE'\n\"c,d.zip\"\n", ["a b.SAFE", "c,d.zip"]),
        # the name of a file is no title
        ("june\na.SAFE\n", ["june", "a.SAFE"]),
    ],
)
def test_paths(tmp_path: Path, text: str, paths: list[str]) -> None:
    file = tmp_path / "list.txt"
    file.write_text(text)
    assert FILES.paths(file) == paths


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("name,country\nS2A_20170613,Czech Republic\n", {2: ["S2A_20170613", "Czech Republic"]}),
        ('"S2A_20170613";"a;b"\n', {1: ["S2A_20170613", "a;b"]}),
        ("x S2A_20170613\n'S2B_20170614' y", {1: ["x", "S2A_20170613"], 2: ["S2B_20170614", "y"]}),
        ("S2A_20170613\t x \n", {1: ["S2A_20170613", "x"]}),
        # only the first line is a title; an open quote ends with its line
        ('title\nmisspelt\n"S2A_20170613\nb', {2: ["misspelt"], 3: ["S2A_20170613"], 4: ["b"]}),
    ],
)
def test_rows(tmp_path: Path, text: str, rows: dict[int, list[str]]) -> None:
    file = tmp_path / "list.csv"
    file.write_text(text)
    assert dict(FILES.rows(file)) == rows


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"M\xf6hne", "bytes that are no UTF-8"),
        (b"\xff\xfea", "bytes that are no UTF-16"),
        (b"abc\0def" * 9, "bytes that are no text"),
        (b"a" * 6000, "more than 5,000 bytes"),
    ],
)
def test_what_is_no_text(tmp_path: Path, content: bytes, found: str) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content)
    with pytest.raises(ParameterError, match=r"list\.txt: found ") as error:
        FILES.text(file)
    assert error.value.found == found


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="No such file or directory"):
        FILES.text(tmp_path / "none.txt")
    with pytest.raises(ParameterError, match="found a folder"):
        FILES.text(tmp_path)
    os.mkfifo(tmp_path / "pipe.txt")  # would be read for ever
    with pytest.raises(ParameterError, match="found no ordinary file"):
        FILES.text(tmp_path / "pipe.txt")


def test_a_list_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("path\n# a\n".encode("utf-16"))
    with pytest.raises(ParameterError, match=r"list\.txt: found no path in it"):
        FILES.paths(tmp_path / "list.txt")


def test_a_packed_bomb_is_not_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "list.csv.bz2"
    file.write_bytes(bz2.compress(bytes(10_000_000)))
    with pytest.raises(ParameterError, match="more than 5,000 bytes"):
        FILES.text(file)
