"""Text files of people, through one reader: lists, tables and settings from whatever wrote them.

Spreadsheets and editors leave byte order marks, UTF-16, the line ends of Windows and of old Macs,
quotes, headers and other separators than commas; none of these changes what a file says.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geolulc.errors import GeolulcError

# UTF-32 first: its mark begins with that of UTF-16
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LOOKED_AT: Final = 1000
_LONGEST_LINE: Final = 1 << 12
_SEPARATORS: Final = (",", ";", "\t")
#: The first line of a list of paths that is the title of its column.
_TITLES: Final = {
    *("file", "filename", "files", "href", "location", "map", "maps", "name", "path", "paths"),
    *("product", "products", "scene", "scenes", "title", "uri", "url"),
}
#: A title of a column has no date; names of patches and products have.
_DATE: Final = re.compile(r"\d{6}")


@dataclass(frozen=True)
class TextFiles:
    """A kind of text file: the error of one that cannot be used.

    Attributes:
        error: its type.
        expected: what such a file holds.
        remedy: what to do about another one.
        most: bytes, unpacked; a larger file is refused.
    """

    error: type[GeolulcError]
    expected: str
    remedy: str
    most: int = 1 << 28

    def text(self, path: Path) -> str:
        """The whole text, its lines ended by line feeds; ``.bz2`` is unpacked.

        Raises:
            GeolulcError: of the type ``error``: no file, too large, neither UTF-8 nor UTF-16.
        """
        try:
            if not path.is_file():  # a pipe or a device could be read for ever
                path.stat()
                raise self.unusable(path, "a folder" if path.is_dir() else "no ordinary file")
            with bz2.open(path) if path.suffix == ".bz2" else path.open("rb") as file:
                data = file.read(self.most + 1)
        except (OSError, EOFError, ValueError) as error:
            reason = getattr(error, "strerror", None) or f"a file that cannot be read ({error})"
            raise self.unusable(path, reason) from None
        if len(data) > self.most:
            raise self.unusable(path, f"more than {self.most:,} bytes")
        mark, encoding = next(
            (known for known in _MARKS if data.startswith(known[0])), (b"", _encoding(data))
        )
        try:
            text = data[len(mark) :].decode(encoding)
        except UnicodeDecodeError:
            raise self.unusable(path, f"bytes that are no {encoding[:6].upper()}") from None
        if "\0" in text:
            raise self.unusable(path, "bytes that are no text")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        return re.sub("(?m)^\ufeff+", "", text)  # files put together keep the marks of each

    def rows(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """Number of each line that says something, and its cells, without the titles of columns.

        Cells are separated by commas, semicolons, tabs or, where a line has none of these, spaces,
        and may be quoted. The first line has titles if no cell of it holds a date, as names of
        patches do. Lines that begin with # say nothing.
        """
        first = True
        for number, line in self._lines(path):
            separator = next((s for s in _SEPARATORS if s in line), " ")
            (parts,) = csv.reader([line], delimiter=separator, skipinitialspace=True)
            cells = [_unquoted(cell) for cell in parts]
            if not first or any(map(_DATE.search, cells)):
                yield number, cells
            first = False

    def paths(self, path: Path) -> list[str]:
        """The paths in a list, one a line, perhaps quoted or under a title ("path", "scene" …).

        Lines that begin with # say nothing. Raises as ``text`` does, and for a list of nothing.
        """
        lines = [_unquoted(line) for _, line in self._lines(path)]
        listed = lines[1:] if lines and lines[0].casefold() in _TITLES else lines
        if not listed:
            raise self.unusable(path, "no path in it")
        return listed

    def unusable(self, subject: object, found: str, expected: str = "") -> GeolulcError:
        """The error of such a file, or of a part of it."""
        expected = expected or self.expected
        return self.error(subject, found=found, expected=expected, remedy=self.remedy)

    def _lines(self, path: Path) -> Iterator[tuple[int, str]]:
        for number, line in enumerate(self.text(path).split("\n"), start=1):
            if len(line) > _LONGEST_LINE:
                raise self.unusable(f"{path}, line {number}", "a line that is longer than any name")
            plain = line.strip()
            if plain and not plain.startswith("#"):
                yield number, plain


def _encoding(data: bytes) -> str:
    """The encoding of a text without a mark: every other byte of plain UTF-16 is zero."""
    start = data[:_LOOKED_AT]
    for encoding, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if zeros and zeros.count(0) > len(zeros) // 2:
            return encoding
    return "utf-8"


def _unquoted(text: str) -> str:
    text = text.strip()
    for quote in "\"'":
        if len(text) > 1 and text[0] == quote == text[-1]:
            text = text[1:-1].replace(quote * 2, quote).strip()
    return text
