"""A patch from its files: pixels, georeference, labels."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from geolulc.datasets.entries import V1, V2_NAME, Entry
from geolulc.datasets.geotiffs import (
    BandFile,
    Georeference,
    broken_patch,
    read_georeference,
    read_groups,
    read_reference_map,
)
from geolulc.datasets.ground import BLOCKS, split_of_block
from geolulc.datasets.patch import Patch
from geolulc.datasets.places import find_place
from geolulc.errors import DatasetError, ParameterError
from geolulc.nomenclature import BEN19, convert_to_ben19

_BAND_SUFFIX: Final = re.compile(r"_(B\d[\dA])\.tif$")
_LABELS_SUFFIX: Final = "_labels_metadata.json"
_REFERENCE_SUFFIX: Final = "_reference_map.tif"
#: A longer file is not a labels file.
_LONGEST_JSON: Final = 1 << 20


def find_files(root: Path, entry: Entry) -> dict[str, BandFile]:
    """Files of a patch in a folder: band name or "labels" (v1) → path.

    ``OSError`` where the folder cannot be read.
    """
    files = (root / str(entry.place)).iterdir()
    return {role: file for file in files if (role := file_role(entry.name, file.name))}


def file_role(patch_name: str, name: str) -> str | None:
    """The role of a patch's file by its name: a band, "labels", "reference"; None for others."""
    if not name.startswith(patch_name):
        return None
    ending = name[len(patch_name) :]
    if found := _BAND_SUFFIX.fullmatch(ending):
        return found[1]
    return {_LABELS_SUFFIX: "labels", _REFERENCE_SUFFIX: "reference"}.get(ending)


def read_patch(entry: Entry, files: Mapping[str, BandFile]) -> Patch:
    """A patch with its pixels and labels.

    Raises:
        DatasetError: a band is missing or wrong, the labels file is broken, a label is unknown.
    """
    groups, where = read_groups(entry.name, files)
    described = _describe_v1(entry, files, where) if entry.dataset == V1 else _describe_v2(entry)
    reference = None
    if "reference" in files:
        reference = read_reference_map(f"{entry.name}{_REFERENCE_SUFFIX}", files["reference"])
    split = entry.split
    if split == BLOCKS:
        split = split_of_block(where.crs, where.left, where.top)
    return Patch(
        key=entry.name,
        dataset=entry.dataset,
        dn=groups,
        crs=where.crs,
        left=where.left,
        top=where.top,
        split=split,
        season=entry.season,
        snow=entry.snow,
        cloud=entry.cloud,
        v1_name=entry.v1_name,
        reference=reference,
        **described,
    )


def _describe_v1(
    entry: Entry, files: Mapping[str, BandFile], where: Georeference
) -> dict[str, Any]:
    document = _read_labels(entry.name, files.get("labels"))
    labels = tuple(document["labels"])
    try:
        ben19 = convert_to_ben19(labels)
    except ParameterError as error:
        found = f"the label {error.subject.removeprefix('class ')}"
        raise broken_patch(f"{entry.name}{_LABELS_SUFFIX}", found, error.expected) from None
    source = re.search(r"_T(\d{2}[A-Z]{3})_", str(document.get("tile_source", "")))
    tile, country = _place(entry, where)
    if entry.country not in (None, country):
        found = f"a patch of {country or 'no country'} by its georeference"
        raise broken_patch(entry.name, found, f"one of {entry.country}, as the list has it")
    return {
        "labels": labels,
        "clc43": labels,
        "ben19": ben19,
        "country": country,
        "date": _acquisition(entry.name, document["acquisition_date"]),
        "tile": source[1] if source else tile,
    }


def locate_v1(root: Path, entry: Entry) -> Entry:
    """A v1 patch in a folder, with the country that the store will say of it, if that is known."""
    try:
        where = read_georeference(entry.name, find_files(root, entry))
    except (DatasetError, OSError):
        return entry
    return entry if where is None else replace(entry, country=_place(entry, where)[1])


def _place(entry: Entry, where: Georeference) -> tuple[str | None, str | None]:
    """Tile and country of a v1 patch, None where it is on no tile of BigEarthNet."""
    return find_place(entry.name, where.crs, where.left, where.top) or (None, None)


def _acquisition(name: str, written: str) -> str | None:
    """ISO 8601 of "2017-06-13 10:10:31"; None where not even the day is valid.

    Some copies have an impossible time of day ("95:03:2", of names like T95032, which lack a
    leading zero): then the time in the name counts, and if that is impossible too, the day alone.
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
    found = "no such file"
    if file is not None and (isinstance(file, bytes) or file.is_file()):
        try:
            if isinstance(file, Path):
                with file.open("rb") as stream:
                    text = stream.read(_LONGEST_JSON)
            else:
                text = file[:_LONGEST_JSON]
            document = json.loads(text)
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
    subject = file if isinstance(file, Path) else f"{name}{_LABELS_SUFFIX}"
    expected = "JSON with labels (a list of names) and acquisition_date"
    raise broken_patch(subject, found, expected)


def _describe_v2(entry: Entry) -> dict[str, Any]:
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
    return {
        "labels": labels,
        "clc43": None,
        "country": entry.country,
        "ben19": tuple(name for name in BEN19.names if name in labels),
        "date": f"{time[:4]}-{time[4:6]}-{time[6:11]}:{time[11:13]}:{time[13:15]}",
        "tile": tile,
    }
