"""The facts of a patch before its pixels are read, in both versions of BigEarthNet.

v1 has lists (``lists.py``). v2 (reBEN) has ``metadata.parquet`` and, for the patches that are not
recommended, ``metadata_for_patches_with_snow_cloud_or_shadow.parquet``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from geolulc.datasets.lists import PatchLists
from geolulc.datasets.parquet_files import read_columns
from geolulc.errors import DatasetError

V1: Final = "bigearthnet-v1"
V2: Final = "bigearthnet-v2"

#: A v2 patch: "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57".
V2_NAME: Final = re.compile(
    r"S2[A-C]_MSIL2A_(\d{8}T\d{6})_N\d{4}_R\d{3}_T(\d{2}[A-Z]{3})_\d{2}_\d{2}"
)
_V2_SPLITS: Final = {"train": "train", "validation": "val", "val": "val", "test": "test"}
_METADATA_FILES: Final = (
    "metadata.parquet",
    "metadata_for_patches_with_snow_cloud_or_shadow.parquet",
)
_OPTIONAL_COLUMNS: Final = ("s2v1_name", "contains_seasonal_snow", "contains_cloud_or_shadow")


#: A patch's folder relative to its archive, or the (start, stop) of its members in a tar archive.
Place = str | tuple[int, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """A patch of an archive. ``labels`` is None in v1: they are in the patch's own file."""

    name: str
    dataset: str
    place: Place
    split: str | None
    country: str | None
    season: str | None
    snow: bool | None
    cloud: bool | None
    labels: tuple[str, ...] | None = None
    v1_name: str | None = None


def describe_v1(name: str, place: Place, lists: PatchLists) -> Entry:
    """The entry of a v1 patch: from the lists, and the season from its date."""
    return Entry(
        name=name,
        dataset=V1,
        place=place,
        split=lists.splits.get(name),
        country=None,
        season=season_of(name.split("_")[2]),
        snow=None if lists.snow is None else name in lists.snow,
        cloud=None if lists.cloud is None else name in lists.cloud,
    )


def find_metadata(root: Path, given: Path | None) -> list[Path]:
    """The metadata files of a v2 archive: as given (a file or a folder), else beside it or in it.

    ``DatasetError`` where there is none.
    """
    if given and given.is_file():
        return [given]
    folders = [given] if given else [root, root.parent]
    found = [[f / name for f in folders if (f / name).is_file()] for name in _METADATA_FILES]
    files = [candidates[0] for candidates in found if candidates]
    if not files:
        raise DatasetError(
            given or root,
            found="no metadata.parquet",
            expected="the metadata of BigEarthNet v2, beside the archive or in it",
            remedy="Give the file (or the folder of both) with --metadata.",
        )
    return files


class Metadata:
    """The rows of v2's metadata files, by patch."""

    def __init__(self, files: list[Path]) -> None:
        #: The files' names.
        self.origin = ", ".join(file.name for file in files)
        self._table = pa.concat_tables([read_metadata(file) for file in files])
        names = self._table.column("patch_id").to_pylist()
        self._row_of = {name: row for row, name in enumerate(names)}

    def describe(self, name: str, place: Place) -> Entry | None:
        """The entry of a v2 patch from the metadata; None for a patch that is not in them.

        ``DatasetError`` for a name that is not one of a split.
        """
        number = self._row_of.get(name)
        if number is None:
            return None
        row: dict[str, Any] = self._table.slice(number, 1).to_pylist()[0]
        if row["split"] not in _V2_SPLITS:
            raise DatasetError(
                name,
                found=f"split {row['split']!r} in {self.origin}",
                expected="train, validation or test",
                remedy="Take the official metadata.parquet.",
            )
        return Entry(
            name=name,
            dataset=V2,
            place=place,
            split=_V2_SPLITS[row["split"]],
            country=row["country"],
            season=season_of(name.split("_")[2]),
            snow=row["contains_seasonal_snow"],
            cloud=row["contains_cloud_or_shadow"],
            labels=tuple(row["labels"] or ()),
            v1_name=row["s2v1_name"],
        )


_METADATA_SCHEMA: Final = pa.schema(
    [
        pa.field("patch_id", pa.string(), nullable=False),
        ("labels", pa.list_(pa.string())),
        ("split", pa.dictionary(pa.int32(), pa.string())),
        ("country", pa.dictionary(pa.int32(), pa.string())),
        ("s2v1_name", pa.string()),
        ("contains_seasonal_snow", pa.bool_()),
        ("contains_cloud_or_shadow", pa.bool_()),
    ]
)


def read_metadata(file: Path) -> pa.Table:
    def unusable(found: str) -> DatasetError:
        return DatasetError(
            file,
            found=found,
            expected="the metadata of BigEarthNet v2, a Parquet file",
            remedy="Take the official metadata.parquet.",
        )

    batches = read_columns(file, _METADATA_SCHEMA, unusable, optional=_OPTIONAL_COLUMNS)
    return pa.Table.from_batches(batches, _METADATA_SCHEMA)


def season_of(date: str) -> str:
    """Meteorological season in the northern hemisphere of a date "YYYYMM…" or "YYYY-MM…"."""
    month = int(date.replace("-", "")[4:6])
    return ("Winter", "Spring", "Summer", "Fall")[month % 12 // 3]
