"""BigEarthNet archives: which version, which patches, and what is known of each before its pixels.

v1: one folder a patch with twelve GeoTIFFs and ``NAME_labels_metadata.json``; splits and the rest
in lists (``lists.py``). v2 (reBEN): tile folders of patch folders, everything else in
``metadata.parquet`` and ``metadata_for_patches_with_snow_cloud_or_shadow.parquet``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from geolulc.datasets.geotiffs import BandFile, read_groups, read_reference_map
from geolulc.datasets.lists import V1_NAME, PatchLists, find_lists
from geolulc.datasets.patch import Patch
from geolulc.errors import DatasetError, ParameterError
from geolulc.nomenclature import BEN19, convert_to_ben19

V1: Final = "bigearthnet-v1"
V2: Final = "bigearthnet-v2"

#: A v2 patch: "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57".
V2_NAME: Final = re.compile(
    r"S2[A-C]_MSIL2A_(\d{8}T\d{6})_N\d{4}_R\d{3}_T(\d{2}[A-Z]{3})_\d{2}_\d{2}"
)
_BAND_SUFFIX: Final = re.compile(r"_(B\d[\dA])\.tif$")
_LABELS_SUFFIX: Final = "_labels_metadata.json"
_V2_SPLITS: Final = {"train": "train", "validation": "val", "val": "val", "test": "test"}
_METADATA_FILES: Final = (
    "metadata.parquet",
    "metadata_for_patches_with_snow_cloud_or_shadow.parquet",
)
_METADATA_COLUMNS: Final = ("patch_id", "labels", "split", "country")
#: Bytes of a labels file beyond which it is none.
_LONGEST_JSON: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A patch of an archive before its pixels are read.

    ``folder`` is where its files are, relative to the archive. ``labels`` is None in v1, where
    they are in the patch's own file. ``reference`` is the folder of its reference map, or None.
    """

    name: str
    dataset: str
    folder: str
    split: str | None
    country: str | None
    season: str | None
    snow: bool | None
    cloud: bool | None
    labels: tuple[str, ...] | None = None
    v1_name: str | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Archive:
    """A BigEarthNet archive: where it is, its version, its patches sorted by name.

    ``origin`` says where split, snow, cloud, country and season come from.
    """

    root: Path
    dataset: str
    entries: tuple[Entry, ...]
    origin: Mapping[str, str]


def open_archive(
    path: Path,
    *,
    splits: Path | None = None,
    snow_list: Path | None = None,
    cloud_list: Path | None = None,
    metadata: Path | None = None,
) -> Archive:
    """Recognise an archive and list its patches.

    Raises:
        DatasetError: not a BigEarthNet archive, or its lists or metadata are missing or broken.
    """
    if not path.is_dir():
        raise DatasetError(
            path,
            found="no folder" if not path.exists() else "a file",
            expected="the folder of a BigEarthNet archive (BigEarthNet-v1.0, BigEarthNet-S2)",
            remedy="Give the archive's folder.",
        )
    for root in (path, path / "BigEarthNet-v1.0"):
        if root.is_dir() and any(V1_NAME.fullmatch(name) for name in _folders(root)):
            lists = find_lists(root, splits=splits, snow_list=snow_list, cloud_list=cloud_list)
            return Archive(root, V1, tuple(_list_v1(root, lists)), lists.origin)
    for root in (path, path / "BigEarthNet-S2"):
        if root.is_dir() and (tiles := [n for n in _folders(root) if V2_NAME.match(n + "_00_00")]):
            files = _find_metadata(root, metadata)
            entries = tuple(_list_v2(root, tiles, files))
            return Archive(root, V2, entries, {"metadata": ", ".join(f.name for f in files)})
    raise DatasetError(
        path,
        found="neither patch folders (S2A_MSIL2A_20170613T101031_87_48) nor tile folders "
        "(S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP)",
        expected="the folder of a BigEarthNet archive (BigEarthNet-v1.0, BigEarthNet-S2)",
        remedy="Give the archive's folder.",
    )


def _folders(root: Path) -> list[str]:
    with os.scandir(root) as entries:
        return sorted(e.name for e in entries if e.is_dir())


def _list_v1(root: Path, lists: PatchLists) -> Iterator[Entry]:
    for name in _folders(root):
        if V1_NAME.fullmatch(name):
            yield describe_v1(name, name, lists)


def describe_v1(name: str, folder: str, lists: PatchLists) -> Entry:
    """What the lists say of a v1 patch."""
    country, season = (lists.places or {}).get(name, (None, None))
    return Entry(
        name=name,
        dataset=V1,
        folder=folder,
        split=lists.splits.get(name),
        country=country,
        season=season,
        snow=None if lists.snow is None else name in lists.snow,
        cloud=None if lists.cloud is None else name in lists.cloud,
    )


def _find_metadata(root: Path, given: Path | None) -> list[Path]:
    folders = [given] if given and given.is_dir() else [] if given else [root, root.parent]
    files = [given] if given and given.is_file() else []
    for name in _METADATA_FILES:
        found = next((f / name for f in folders if (f / name).is_file()), None)
        files += [found] if found else []
    if not files:
        raise DatasetError(
            given or root,
            found="no metadata.parquet",
            expected="the metadata of BigEarthNet v2, beside the archive's folder or in it",
            remedy="Give the file (or the folder of both) with --metadata.",
        )
    return files


def _list_v2(root: Path, tiles: list[str], files: list[Path]) -> Iterator[Entry]:
    known = {row["patch_id"]: row for file in files for row in _read_metadata(file)}
    for tile in tiles:
        for name in _folders(root / tile):
            if not V2_NAME.fullmatch(name):
                continue
            if name not in known:
                raise DatasetError(
                    root / tile / name,
                    found=f"no such patch in {', '.join(f.name for f in files)}",
                    expected="metadata of every patch (snow and cloud have a file of their own)",
                    remedy="Give the folder of both metadata files with --metadata.",
                )
            yield describe_v2(known[name], f"{tile}/{name}")


def describe_v2(row: Mapping[str, Any], folder: str) -> Entry:
    """What a row of the metadata says of a v2 patch."""
    split = row["split"]
    if split not in _V2_SPLITS:
        raise DatasetError(
            row["patch_id"],
            found=f"split {split!r}",
            expected="train, validation or test",
            remedy="Take the official metadata.parquet.",
        )
    return Entry(
        name=row["patch_id"],
        dataset=V2,
        folder=folder,
        split=_V2_SPLITS[split],
        country=row["country"],
        season=season_of(row["patch_id"].split("_")[2]),
        snow=row.get("contains_seasonal_snow"),
        cloud=row.get("contains_cloud_or_shadow"),
        labels=tuple(row["labels"]),
        v1_name=row.get("s2v1_name"),
        reference=f"Reference_Maps/{folder}",
    )


def _read_metadata(file: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file)
    except (OSError, pyarrow.ArrowException) as error:
        raise DatasetError(
            file,
            found=f"a file that cannot be read ({error})",
            expected="the metadata of BigEarthNet v2, a Parquet file",
            remedy="Fetch it again.",
        ) from error
    missing = [c for c in _METADATA_COLUMNS if c not in table.column_names]
    if missing:
        raise DatasetError(
            file,
            found=f"no column {', '.join(missing)}",
            expected="the metadata of BigEarthNet v2",
            remedy="Take the official metadata.parquet.",
        )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def season_of(date: str) -> str:
    """Meteorological season in the northern hemisphere of a date "YYYYMM…" or "YYYY-MM…"."""
    month = int(date.replace("-", "")[4:6])
    return ("Winter", "Spring", "Summer", "Fall")[month % 12 // 3]


def find_files(root: Path, entry: Entry, *, reference_maps: bool) -> dict[str, BandFile]:
    """Files of a patch in a folder: band name, "labels" (v1) or "reference" (v2) → path."""
    folder = root / entry.folder
    files: dict[str, BandFile] = {}
    for file in folder.iterdir():
        if role := file_role(file.name):
            files[role] = file
    if reference_maps and entry.reference:
        file = root.parent / entry.reference / f"{entry.name}_reference_map.tif"
        if file.is_file():
            files["reference"] = file
    return files


def file_role(name: str) -> str | None:
    """What a patch's file holds, by its name: a band, "labels", "reference" or nothing of use."""
    if found := _BAND_SUFFIX.search(name):
        return found[1]
    if name.endswith(_LABELS_SUFFIX):
        return "labels"
    return "reference" if name.endswith("_reference_map.tif") else None


def read_patch(entry: Entry, files: Mapping[str, BandFile]) -> Patch:
    """A patch with its pixels and labels.

    Raises:
        DatasetError: a band is missing or wrong, the labels file is broken, a label is unknown.
    """
    groups, where = read_groups(entry.name, files)
    described = _describe_from_v1(entry, files) if entry.dataset == V1 else _describe_from_v2(entry)
    reference = None
    if "reference" in files:
        reference = read_reference_map(f"{entry.name}_reference_map.tif", files["reference"])
    return Patch(
        key=entry.name,
        dataset=entry.dataset,
        dn=groups,
        country=entry.country,
        crs=where.crs,
        left=where.left,
        top=where.top,
        split=entry.split,
        snow=entry.snow,
        cloud=entry.cloud,
        v1_name=entry.v1_name,
        reference=reference,
        **described,
    )


def _describe_from_v1(entry: Entry, files: Mapping[str, BandFile]) -> dict[str, Any]:
    document = _read_labels(entry.name, files.get("labels"))
    labels = tuple(document["labels"])
    try:
        ben19 = convert_to_ben19(labels)
    except ParameterError as error:
        raise DatasetError(
            f"{entry.name}{_LABELS_SUFFIX}",
            found=f"the label {error.subject.removeprefix('class ')}",
            expected=error.expected,
            remedy="Restore the patch from the archive, or leave it out with --skip-broken.",
        ) from None
    source = re.search(r"_T(\d{2}[A-Z]{3})_", str(document.get("tile_source", "")))
    date = _acquisition(entry.name, document["acquisition_date"])
    return {
        "labels": labels,
        "clc43": labels,
        "ben19": ben19,
        "season": entry.season or season_of(str(date)),
        "date": date,
        "tile": source[1] if source else None,
    }


def _acquisition(name: str, written: str) -> str | None:
    """ISO 8601 of "2017-06-13 10:10:31"; None where not even the day is one.

    Some copies carry a time of day that is none ("95:03:2", of names like T95032, which lack a
    leading zero): there the name's time is taken, and where that is none either the day alone.
    """
    day, _, time = written.partition(" ")
    of_name = name.split("_")[2].partition("T")[2].rjust(6, "0")
    for candidate in (f"{day}T{time}", f"{day}T{of_name[:2]}:{of_name[2:4]}:{of_name[4:]}", day):
        try:
            datetime.fromisoformat(candidate)
        except ValueError:
            continue
        return candidate
    return None


def _read_labels(name: str, file: BandFile | None) -> dict[str, Any]:
    subject = file if isinstance(file, Path) else f"{name}{_LABELS_SUFFIX}"
    found = "no such file"
    if file is not None:
        try:
            if isinstance(file, Path):
                with file.open("rb") as stream:
                    file = stream.read(_LONGEST_JSON)
            document = json.loads(file)
        except (OSError, ValueError, RecursionError) as error:
            found = f"a file that cannot be read ({error})"
        else:
            found = "other contents"
            if (
                isinstance(document, dict)
                and isinstance(labels := document.get("labels"), list)
                and all(isinstance(label, str) for label in labels)
                and _acquisition(name, str(document.get("acquisition_date")))
            ):
                return document
    raise DatasetError(
        subject,
        found=found,
        expected="JSON with labels (a list of names) and acquisition_date",
        remedy="Restore the patch from the archive, or leave it out with --skip-broken.",
    )


def _describe_from_v2(entry: Entry) -> dict[str, Any]:
    labels = entry.labels or ()
    unknown = [label for label in labels if label not in BEN19.names]
    if unknown:
        raise DatasetError(
            entry.name,
            found=f"the label {unknown[0]!r}",
            expected="names of the 19 classes",
            remedy="Take the official metadata.parquet, or leave it out with --skip-broken.",
        )
    match = V2_NAME.fullmatch(entry.name)
    time, tile = match.groups() if match else ("", None)
    date = f"{time[:4]}-{time[4:6]}-{time[6:11]}:{time[11:13]}:{time[13:15]}"
    return {
        "labels": labels,
        "clc43": None,
        "ben19": tuple(name for name in BEN19.names if name in labels),
        "season": entry.season,
        "date": date,
        "tile": tile,
    }
