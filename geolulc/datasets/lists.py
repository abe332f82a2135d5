"""The lists that go with BigEarthNet v1: splits, seasonal snow, cloud, countries.

In circulation are plain files of one patch name a line, two-column ones (Sentinel-2 name,
Sentinel-1 name, in either order), with or without a header, and ``.bz2`` of all these; and what
spreadsheets make of them (``text_files.py``).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from geolulc.datasets.ground import BLOCKS
from geolulc.errors import DatasetError, GeolulcError
from geolulc.text_files import TextFiles

#: A v1 patch: "S2A_MSIL2A_20170613T101031_87_48"; some times of day have five digits.
V1_NAME: Final = re.compile(r"S2[A-C]_MSIL2A_\d{8}T\d{5,6}_\d{1,2}_\d{1,2}")

_SPLIT_FILES: Final = {
    "train": ("train.csv", "train.txt"),
    "val": ("val.csv", "val.txt", "validation.csv", "validation.txt"),
    "test": ("test.csv", "test.txt"),
}
EXAMPLE: Final = "S2A_MSIL2A_20170613T101031_87_48"
#: Lists of patches.
LISTS: Final = TextFiles(
    DatasetError, "a list of patch names, one a line, or its .bz2", "Correct the list."
)


@dataclass(frozen=True)
class Lists:
    """Where splits (v1), snow and cloud lists (v1) and metadata (v2) are; None: look for them.

    ``splits`` is the folder of ``train.csv``, ``val.csv`` and ``test.csv``, or "blocks": splits
    of both versions by blocks of the ground (``ground.split_of_block``).
    """

    splits: Path | None = None
    snow_list: Path | None = None
    cloud_list: Path | None = None
    metadata: Path | None = None

    @property
    def blocks(self) -> bool:
        """Whether splits are made by blocks."""
        return self.splits == Path(BLOCKS)


@dataclass(frozen=True)
class PatchLists:
    """The lists of v1 patches. None: no such list was found.

    ``splits``: patch → "train", "val" or "test". ``origin``: what → where it comes from.
    """

    splits: Mapping[str, str]
    snow: frozenset[str] | None
    cloud: frozenset[str] | None
    origin: Mapping[str, str]

    def without(self, patches: Iterable[str]) -> dict[str, dict[str, Any]]:
        """List → how many it names that are not of ``patches``, and one of them.

        Patches of the rest of BigEarthNet; or names that are misspelt.
        """
        there = set(patches)
        lists = {"splits": self.splits.keys(), "snow": self.snow or (), "cloud": self.cloud or ()}
        absent = {what: set(names) - there for what, names in lists.items()}
        return {
            what: {"patches": len(names), "example": min(names)}
            for what, names in absent.items()
            if names
        }


def find_lists(archive: Path, given: Lists = Lists()) -> PatchLists:
    """The lists for a v1 archive, a folder or tar: as given, else beside it, else of a package.

    The package is bigearthnet-common.

    Raises:
        DatasetError: no split lists; a list that cannot be read; a patch in two splits.
    """
    package = _package_folder()
    places = _folders_of_lists(archive)
    origin: dict[str, str] = {}

    split_files: Mapping[str, Path] | None = {}
    if not given.blocks:
        split_files = _find_splits([given.splits] if given.splits else places)
    if split_files is None:
        raise DatasetError(
            given.splits or archive,
            found="no train.csv, val.csv and test.csv (or .bz2)",
            expected="the split lists of BigEarthNet v1: patch names, one a line",
            remedy="Give their folder with --splits, or install bigearthnet-common.",
        )
    of_patch: dict[str, str] = {}
    for split, file in split_files.items():
        for name in read_names(file):
            if of_patch.setdefault(name, split) != split:
                raise DatasetError(
                    file,
                    found=f"{name}, which is in {of_patch[name]} too",
                    expected="every patch in one split",
                    remedy="Take the official lists.",
                )
    if split_files:
        origin["splits"] = _described(split_files["train"].parent, package)

    excluded: dict[str, frozenset[str] | None] = {}
    for kind, listed, name in (
        ("snow", given.snow_list, "patches_with_seasonal_snow.csv"),
        ("cloud", given.cloud_list, "patches_with_cloud_and_shadow.csv"),
    ):
        found = listed or _find_file(places, (name,))
        excluded[kind] = frozenset(read_names(found)) if found else None
        if found:
            origin[kind] = _described(found if listed else found.parent, package)

    origin |= {"country": "georeference", "season": "date"}
    return PatchLists(of_patch, excluded["snow"], excluded["cloud"], origin)


def find_countries(archive: Path) -> dict[str, str] | None:
    """Patch → country, of all v1 patches, from the list beside the archive or of the package.

    They are those of the georeference (``places.py``); the list knows them before a patch is read.
    """
    found = _find_file(_folders_of_lists(archive), ("s1_s2_name_country_season.csv",))
    return dict(_read_countries(found)) if found else None


def _folders_of_lists(archive: Path) -> list[Path]:
    package = _package_folder()
    beside = [archive.parent / "splits", archive.parent]
    within = [archive / "splits", archive] if archive.is_dir() else []
    return within + beside + ([package] if package else [])


def _described(place: Path, package: Path | None) -> str:
    return "bigearthnet-common" if place == package else place.name


def _package_folder() -> Path | None:
    # found, not imported: only its files are wanted
    spec = importlib.util.find_spec("bigearthnet_common")
    return Path(spec.origin).parent if spec and spec.origin else None


def _find_splits(folders: list[Path]) -> dict[str, Path] | None:
    for folder in folders:
        found = {split: _find_file([folder], names) for split, names in _SPLIT_FILES.items()}
        complete = {split: file for split, file in found.items() if file}
        if len(complete) == len(_SPLIT_FILES):
            return complete
    return None


def _find_file(folders: list[Path], names: tuple[str, ...]) -> Path | None:
    candidates = (
        folder / f"{name}{suffix}"
        for folder in folders
        for name in names
        for suffix in ("", ".bz2")
    )
    return next((c for c in candidates if c.is_file()), None)


def read_names(file: Path, name: re.Pattern[str] = V1_NAME) -> Iterator[str]:
    """The patches in a list, one a line, in whichever column their ``name`` is.

    Raises:
        DatasetError: a list that cannot be read, or a line without such a name.
    """
    for number, cells in LISTS.rows(file):
        names = [cell for cell in cells if name.fullmatch(cell)]
        if not names:
            raise _unusable(file, number, cells, "the name of a patch (" + EXAMPLE + ")")
        yield names[0]


def _read_countries(file: Path) -> Iterator[tuple[str, str]]:
    for number, cells in LISTS.rows(file):
        if len(cells) != 4 or not V1_NAME.fullmatch(cells[1]):
            raise _unusable(file, number, cells, "s1_name,s2_name,country,season")
        yield cells[1], cells[2]


def _unusable(file: Path, number: int, cells: list[str], expected: str) -> GeolulcError:
    found = repr(",".join(cells)[:80])
    return LISTS.unusable(f"{file}, line {number}", found, expected)
