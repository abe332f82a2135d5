"""Which vector files are let in: known by their first bytes, before a library opens them.

GDAL opens whatever one of its 80 drivers takes a file for, and some of these drivers read servers
that the file names. Its vector driver cannot be chosen through pyogrio; a file that passes here is
taken by the driver that is meant (GDAL asks drivers one by one, by such first bytes).
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

import pyogrio

#: The formats in words, for messages.
FORMATS: Final = (
    "GeoPackage, Shapefile, GeoJSON, FlatGeobuf, KML, GeoParquet or FileGDB, "
    "or a zip or folder of these"
)
#: Drivers of GDAL that may take a file.
DRIVERS: Final = frozenset(
    {
        "GPKG",
        "ESRI Shapefile",
        "GeoJSON",
        "GeoJSONSeq",
        "FlatGeobuf",
        "KML",
        "LIBKML",
        "OpenFileGDB",
    }
)
PARQUET: Final = "GeoParquet"
#: A file has at most so many bytes, and the members of a zip together.
MOST_BYTES: Final = 4 * 2**30
#: A layer has at most so many features.
MOST_FEATURES: Final = 2_000_000
#: Drivers look at no more of a file before they open it.
_HEAD: Final = 2**16
_MAGIC: Final = {
    b"SQLite format 3\0": "GeoPackage",
    b"\0\0\x27\x0a": "Shapefile",
    b"fgb\x03fgb": "FlatGeobuf",
    b"PAR1": PARQUET,
    b"PK\x03\x04": "zip",
}
#: XML of GDAL's that names other sources, and its pipelines.
_SOURCES: Final = re.compile(rb"<OGR|gdal_streamed_alg", re.IGNORECASE)
#: A CRS of GeoJSON 2008 that is to be fetched from elsewhere, and letters that are written as
#: escapes, which nobody does but to hide them.
_FETCHED: Final = re.compile(
    rb'"crs"\s*:\s*\{[^}]*"type"\s*:\s*"(?:link|url)"|\\u00[4-7][0-9a-fA-F]', re.IGNORECASE
)
_MEMBERS: Final = (".shp", ".gpkg", ".geojson", ".kml", ".fgb", ".parquet")
#: A geodatabase of ESRI is a folder of this ending, with tables of that one.
_DATABASE, _TABLE = ".gdb", ".gdbtable"
_BESIDE_SHP: Final = (".shp", ".shx", ".dbf", ".prj", ".cpg")
#: GDAL reaches no server with these, and looks into no other file beside those of a shapefile.
_OFFLINE: Final = {
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
    "GDAL_HTTP_PROXY": "none://",
    "OGR_SQLITE_ALLOW_EXTERNAL_ACCESS": "NO",
    "LIBKML_RESOLVE_STYLE": "NO",
}
#: What a view of a GeoPackage may do: select and read. Not call functions or recur.
_READING: Final = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ})
#: Steps of SQLite's machine after which a view of a GeoPackage counts as endless: some seconds.
_MOST_STEPS: Final = 200_000_000


class NotAllowedError(ValueError):
    """A file that is not let in; its text says what was found."""


def identify(path: Path) -> str:
    """The format of a file, or "zip".

    Raises:
        NotAllowedError: another one, or a file that names other sources.
    """
    if path.is_dir():
        if not _is_database(path):
            raise NotAllowedError("a folder")
        _require_small(sum(file.stat().st_size for file in path.iterdir()))
        return "FileGDB"
    if not path.is_file():
        raise NotAllowedError("something that is no file" if path.exists() else "no such file")
    _require_small(path.stat().st_size)
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head:
        raise NotAllowedError("an empty file")
    if _SOURCES.search(head):
        raise NotAllowedError("a file that names other sources (VRT, WFS or a pipeline)")
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            if name == "Shapefile" and path.suffix.lower() != ".shp":
                raise NotAllowedError(f"a part of a shapefile, {path.name}")
            return name
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x1e")
    if text.startswith(b"{"):
        _require_own_crs(path)
        return "GeoJSON"
    if text.startswith(b"<") and re.search(rb"<(\w+:)?kml[\s>]", text):
        return "KML"
    raise NotAllowedError("a file of another format")


def _is_database(path: Path) -> bool:
    return path.suffix.lower() == _DATABASE and any(path.glob(f"*{_TABLE}"))


def _require_small(size: int) -> None:
    if size > MOST_BYTES:
        raise NotAllowedError(f"{size / 2**30:.1f} GiB")


def _require_own_crs(path: Path) -> None:
    with path.open("rb") as stream:
        before = b""
        while block := stream.read(2**24):
            if _FETCHED.search(before + block):
                raise NotAllowedError("a CRS that is to be fetched from elsewhere")
            before = block[-1000:]


def require_plain_tables(path: Path) -> None:
    """``NotAllowedError`` if a layer of a GeoPackage is a view that calls functions or has no end.

    Computed columns count as well. GDAL gives SQLite functions that ask geocoding services.
    """
    with closing(_database(path)) as database:
        layers = database.execute(
            "SELECT table_name, type FROM gpkg_contents JOIN sqlite_master ON name = table_name"
        ).fetchall()
        database.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY
        )
        database.set_progress_handler(lambda: 1, _MOST_STEPS)
        for layer, kind in layers:
            name = str(layer).replace('"', '""')
            try:
                database.execute(f'SELECT * FROM "{name}" LIMIT 0').fetchall()  # noqa: S608 (quoted)
                rows = database.execute(f'SELECT 1 FROM "{name}"')  # noqa: S608 (quoted)
                count = sum(1 for _ in islice(rows, MOST_FEATURES + 1)) if kind == "view" else 0
            except sqlite3.Error as error:
                raise NotAllowedError(
                    f"the layer {layer}, which calls functions or has no end ({error})"
                ) from None
            if count > MOST_FEATURES:
                raise NotAllowedError(f"the layer {layer}, a view of more than {count - 1:,} rows")


def _database(path: Path) -> sqlite3.Connection:
    place = path.absolute().as_uri()
    try:
        database = sqlite3.connect(f"{place}?mode=ro", uri=True)
        database.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:  # a write-ahead log in a folder that is read-only
        database = sqlite3.connect(f"{place}?immutable=1", uri=True)
    return database


@contextmanager
def offline() -> Iterator[None]:
    """GDAL's vector part reaches no server inside; its settings come back at the end."""
    before = {name: pyogrio.get_gdal_config_option(name) for name in _OFFLINE}
    pyogrio.set_gdal_config_options(_OFFLINE)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


@contextmanager
def vector_files(path: Path) -> Iterator[dict[str, tuple[Path, str]]]:
    """The vector files that ``path`` is or, as a zip or folder, holds: name → file and format.

    Members of a zip lie in a temporary folder as long as the context is open.

    Raises:
        NotAllowedError: as ``identify``, or a zip or folder of none.
    """
    if path.is_dir() and not _is_database(path):
        inside = [p for p in sorted(path.iterdir()) if p.suffix.lower() in (*_MEMBERS, _DATABASE)]
        if not inside:
            raise NotAllowedError("a folder without a vector file")
        yield {member.name: (member, identify(member)) for member in inside}
        return
    kind = identify(path)
    if kind != "zip":
        yield {path.name: (path, kind)}
        return
    with tempfile.TemporaryDirectory(prefix="geolulc-") as folder:
        yield {name: (file, identify(file)) for name, file in _unpack(path, Path(folder)).items()}


def _unpack(path: Path, folder: Path) -> dict[str, Path]:
    with zipfile.ZipFile(path) as archive:
        members = {
            info.filename.replace("\\", "/"): info
            for info in archive.infolist()
            if not info.is_dir() and not info.filename.startswith("__MACOSX/")
        }
        found = {n for n in members if PurePosixPath(n).suffix.lower() in _MEMBERS}
        wanted = sorted(found | {str(d) for n in members if (d := _database_of(n))})
        if not wanted:
            raise NotAllowedError("a zip without a vector file")
        unpacked, left = {}, MOST_BYTES
        for number, name in enumerate(wanted):
            pure = PurePosixPath(name)
            own = folder / str(number)
            own.mkdir()
            for member, info in members.items():
                other = PurePosixPath(member)
                target = own / (pure.stem + other.suffix.lower())
                inside = str(other.parent) == name and pure.suffix.lower() == _DATABASE
                if inside:
                    target = own / (pure.stem + _DATABASE) / other.name
                    target.parent.mkdir(exist_ok=True)
                beside = pure.suffix.lower() == ".shp" and (
                    (other.parent, other.stem) == (pure.parent, pure.stem)
                    and other.suffix.lower() in _BESIDE_SHP
                )
                if member != name and not beside and not inside:
                    continue
                left -= info.file_size
                if left < 0:
                    raise NotAllowedError(f"more than {MOST_BYTES // 2**30} GiB in a zip")
                # zipfile reads no more than the size that it states
                with archive.open(info) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
            unpacked[name] = own / (pure.stem + pure.suffix.lower())
        return unpacked


def _database_of(name: str) -> PurePosixPath | None:
    """The geodatabase that a member of a zip lies in."""
    parent = PurePosixPath(name).parent
    return parent if parent.suffix.lower() == _DATABASE else None
