"""What an output may replace: what geolulc wrote, and nothing that the run reads.

``--overwrite`` replaces what geolulc wrote, and twice given any file; a folder must be geolulc's
in any case. Geolulc knows its own by their contents, never by their names:

- a folder by its marker, which says as what it was made;
- a raster, layer, page, picture or document by the words with which it says so itself;
- a GeoPackage if all of its tables say so: one more, or a project of QGIS, makes it another's;
- a style, a class table, Markdown, or a CSV without columns of geolulc's has no place for such
  words: it is geolulc's where another file of the same output is;
- an empty file is nobody's.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from geolulc.errors import OutputError

#: Levels of ``overwrite``; True is the first.
OWN: Final = 1
ANY: Final = 2

#: In a folder that geolulc made: as what.
MARKER: Final = ".geolulc.json"
#: What folders hold that were made before they had a marker: (kind, what must be, all that may be).
_UNMARKED: Final = (
    ("report", {"evaluation.json", "report.md"}, r"evaluation\.json|report\.md|\w+\.png"),
    ("store", {"manifest.json", "index.parquet"}, r"(manifest|plan)\.json|index.parquet|shard-\d+"),
    (
        "experiment",
        {"manifest.json", "runs"},
        r"manifest\.json|runs|subsets|report\.md|(runs|classes)\.csv|runs\.json|\w[\w+-]*\.png",
    ),
    (
        "run",
        {"config.toml"},
        r"config\.toml|(model|state)\.safetensors|summary\.json|(history|rates)\.csv|\w+\.png"
        r"|tensorboard|events\.out\.tfevents\..+",
    ),
)
#: How files say that geolulc wrote them: the tags of rasters and layers, pages, pictures, STAC
#: Items and Collections, ONNX graphs, and the columns of zones and of samples.
_SAID: Final = re.compile(
    rb'GEOLULC_VERSION|name="generator" content="geolulc |Software\x00geolulc'
    rb'|"processing:software": \{\s*"geolulc": "|written by geolulc \d|"made_by": "geolulc \d'
    rb"|\x0a\x07geolulc\x12|zone_ha,mapped_ha,mapped_share"
    rb"|stratum_units,stratum_ha,inclusion_probability"
)
#: So many bytes at either end of a file are searched: a mosaic's tags name up to 1000 scenes.
_SEARCHED: Final = 2**20
#: Endings of files that have no place for such words.
_SILENT: Final = (".qml", ".csv", ".xml", ".md")
#: Tables of a GeoPackage that are not a layer: of the format, and styles.
_TABLES: Final = "name NOT GLOB 'gpkg_*' AND name NOT GLOB 'rtree_*' AND name NOT GLOB 'sqlite_*'"
_FOREIGN: Final = f"""
SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view') AND {_TABLES}
AND name != 'layer_styles' AND NOT EXISTS (
    SELECT 1 FROM gpkg_metadata_reference JOIN gpkg_metadata ON gpkg_metadata.id = md_file_id
    WHERE lower(table_name) = lower(name) AND instr(metadata, 'GEOLULC_VERSION'))
"""  # noqa: S608 - of constants

_READ: ContextVar[tuple[Path, ...]] = ContextVar("_READ", default=())


@contextlib.contextmanager
def reading(paths: Iterable[Path | str]) -> Iterator[None]:
    """Within the context no output replaces one of ``paths``, or a folder that holds it.

    Paths that lead to nothing are passed over: an option may take something else than a path.
    """
    token = _READ.set((*_READ.get(), *map(Path, paths)))
    try:
        yield
    finally:
        _READ.reset(token)


def being_read() -> tuple[Path, ...]:
    """The inputs of all ``reading`` contexts: what another process has to be told of."""
    return tuple(path.absolute() for path in _READ.get())


def require_unread(outputs: Iterable[Path]) -> None:
    """``OutputError`` if one of ``outputs`` is an input, by any name or link, or holds one."""
    inputs = {key: path for path in _READ.get() for key in _identities(path)}
    folders = {folder: path for path in _READ.get() for folder in path.resolve().parents}
    for output in outputs if inputs else ():
        found = next((inputs[key] for key in _identities(output) if key in inputs), None)
        what = "a file that this run reads" if output.is_file() else "what this run reads"
        if found is None and output.is_dir() and not output.is_symlink():
            found, what = folders.get(output.resolve()), "a folder that holds what this run reads"
        if found is not None:
            raise OutputError(
                output,
                found=what if found == output else f"{what}: {found}",
                expected="an output apart from all inputs",
                remedy="Give another path.",
            )


def _identities(path: Path) -> list[object]:
    """What a file is known by: where it is once links are followed, and what it is on the disk."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return []
    return [path.resolve(), (found.st_dev, found.st_ino)]


def require_replaceable(
    path: Path, overwrite: int, kind: str = "", others: Collection[Path] = ()
) -> None:
    """``OutputError`` unless ``path``, which exists, may be replaced.

    Args:
        path: a file or folder.
        overwrite: 0; ``OWN``: what geolulc wrote may be; ``ANY``: files of others too.
        kind: what a folder must have been made as.
        others: the files of the same output.
    """
    found, remedy = "it exists", "Give another path, or --overwrite to replace it."
    if (kind or path.is_dir()) and not _is_own_folder(path, kind):
        found = f"something that is no {kind}" if kind else "a folder that geolulc did not make"
        remedy = "Give another path; geolulc removes no folder of others."
    elif path.exists() and not path.is_dir() and not path.is_file():
        found, remedy = "neither a file nor a folder", "Give another path."
    elif overwrite == OWN and not path.is_dir() and not is_own_file(path, others):
        found = "a file that geolulc did not write"
        remedy = "Give another path, or --overwrite twice to replace it."
    elif overwrite:
        return
    raise OutputError(path, found=found, expected="a new path", remedy=remedy)


def is_own_file(path: Path, others: Collection[Path] = ()) -> bool:
    """Whether geolulc wrote the file ``path``, or it is empty; ``others``: of the same output."""
    try:
        if path.is_symlink() and not path.exists():
            return True  # to nothing
        if path.stat().st_size == 0 or _says_so(path):
            return True
    except OSError:
        return False
    return path.suffix.lower() in _SILENT and any(
        other.suffix.lower() not in _SILENT and other.is_file() and is_own_file(other)
        for other in others
    )


def _says_so(path: Path) -> bool:
    if path.suffix.lower() == ".gpkg":
        return _all_layers_say_so(path)
    with path.open("rb") as file:
        if _SAID.search(file.read(_SEARCHED)):
            return True
        file.seek(max(0, path.stat().st_size - _SEARCHED))
        return bool(_SAID.search(file.read()))


def _all_layers_say_so(path: Path) -> bool:
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            return bool(database.execute(_FOREIGN).fetchone() == (0,))
    except sqlite3.Error:
        return False


def _is_own_folder(path: Path, kind: str) -> bool:
    if path.is_symlink() or not path.is_dir():
        return False
    found = kind_of(path)
    return not any(path.iterdir()) if found is None else kind in ("", found)


def kind_of(folder: Path) -> str | None:
    """What geolulc made ``folder`` as ("report", "store", "run"), None for a folder of others.

    Its marker says so; a folder from before there were markers is known by its contents, if it
    holds nothing else.
    """
    names = {path.name for path in folder.iterdir()}
    if MARKER in names:
        try:
            marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
            return str(marker["kind"]) if marker["version"] == 1 else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
    for kind, needed, allowed in _UNMARKED:
        if needed <= names and all(re.fullmatch(allowed, name) for name in names):
            return kind
    return None


def mark(folder: Path, kind: str) -> None:
    """Write into ``folder`` that geolulc made it, and as what: it may be replaced as a whole."""
    text = json.dumps({"kind": kind, "version": 1})
    (folder / MARKER).write_text(text + "\n", encoding="utf-8")
