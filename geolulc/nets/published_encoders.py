"""Sentinel-2 encoders that others publish, to start a training from: facts, no code.

They stand in ``published_encoders.csv``. Names, files and input conventions are those of TorchGeo's
weight enums (``torchgeo.models``). All but one were trained on Level-1C products (top of
atmosphere, with B10).
"""

from __future__ import annotations

import csv
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Final

from geolulc.bands import BAND_NAMES
from geolulc.errors import CheckpointError
from geolulc.nets.hub import fetch_file

#: Prefix of a published encoder's name, as in ``--pretrained torchgeo:NAME``.
PREFIX: Final = "torchgeo:"

RGB: Final = ("B04", "B03", "B02")
#: The thirteen bands of a Level-1C product.
L1C: Final = (
    *("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A"),
    *("B09", "B10", "B11", "B12"),
)
L2A: Final = BAND_NAMES


@dataclass(frozen=True)
class InputConvention:
    """The input that a file of weights expects: ``(DN - mean) / std`` for each of ``bands``.

    ``mean`` and ``std`` empty: standardised by the statistics of its own data, which ours stand
    in for (ImageNet weights). ``reflectance``: as in ``NetConfig``; of "log" they are those of
    the logarithm.
    """

    bands: tuple[str, ...]
    mean: Mapping[str, float]
    std: Mapping[str, float]
    text: str
    reflectance: str = "linear"


def _reflectance(bands: tuple[str, ...]) -> InputConvention:
    return InputConvention(
        bands, dict.fromkeys(bands, 0.0), dict.fromkeys(bands, 10_000.0), "DN / 10000"
    )


# statistics of SSL4EO-S12 (L1C) in TorchGeo's transform for SoftCon
_SSL4EO_MEAN = (
    *(1612.9, 1397.6, 1322.3, 1373.1, 1561.0, 2108.4, 2390.7, 2318.7, 2581.0),
    *(837.7, 22.0, 2195.2, 1537.4),
)
_SSL4EO_STD = (
    *(791.0, 854.3, 878.7, 1144.9, 1127.5, 1164.2, 1276.0, 1249.5, 1345.9),
    *(577.5, 47.5, 1340.0, 1142.9),
)
_SSL4EO = InputConvention(
    L1C,
    dict(zip(L1C, _SSL4EO_MEAN, strict=True)),
    dict(zip(L1C, _SSL4EO_STD, strict=True)),
    "(DN - mean) / std of SSL4EO-S12",
)

#: By its name in the list.
_CONVENTIONS: Final = {
    "L1C": _reflectance(L1C),
    "L2A": _reflectance(L2A),
    "RGB": _reflectance(RGB),
    "SSL4EO-S12": _SSL4EO,
}
#: By number of input channels, for files that are not in the list.
CONVENTIONS: Final[Mapping[int, InputConvention]] = MappingProxyType(
    {
        3: InputConvention(RGB, {}, {}, "standardised red, green, blue (ImageNet)"),
        12: _CONVENTIONS["L2A"],
        13: _CONVENTIONS["L1C"],
    }
)


@dataclass(frozen=True)
class PublishedEncoder:
    """A published file: ``repository``/``revision``/``file`` on the Hugging Face hub."""

    name: str
    backbone: str
    repository: str
    revision: str
    file: str
    input: str
    paper: str

    @property
    def convention(self) -> InputConvention:
        """What it expects of its input."""
        return _CONVENTIONS[self.input]


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file of this package."""
    with (importlib.resources.files("geolulc.nets") / name).open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


#: Name → published encoder, of the table ``published_encoders.csv``.
ENCODERS: Final[Mapping[str, PublishedEncoder]] = MappingProxyType(
    {row["name"]: PublishedEncoder(**row) for row in read_table("published_encoders.csv")}
)


def find_encoder(name: str) -> PublishedEncoder:
    """The published encoder called ``name``; ``CheckpointError`` with the nearest otherwise."""
    if name in ENCODERS:
        return ENCODERS[name]
    near = get_close_matches(name, ENCODERS, n=1, cutoff=0.0)
    raise CheckpointError(
        f"{PREFIX}{name}",
        found="no published encoder of that name",
        expected=f"one of {', '.join(ENCODERS)} (nearest: {near[0]})",
        remedy="Correct the name, or give a local file of weights.",
    )


def fetch_encoder(name: str) -> Path:
    """The file of a published encoder, from the local cache or the hub; checksum verified.

    Raises:
        CheckpointError: no such encoder, or it cannot be fetched.
    """
    encoder = find_encoder(name)
    return fetch_file(
        encoder.repository, encoder.file, revision=encoder.revision, sha256=_checksum(encoder.file)
    )


def convention_of(file: Path, channels: int) -> InputConvention:
    """The input convention of a file of weights with ``channels`` input bands.

    Raises:
        CheckpointError: which bands they are is not known.
    """
    for encoder in ENCODERS.values():
        if encoder.file == file.name and len(encoder.convention.bands) == channels:
            return encoder.convention
    if channels in CONVENTIONS:
        return CONVENTIONS[channels]
    raise CheckpointError(
        file,
        found=f"weights for {channels} input bands",
        expected="3 (red, green, blue), 12 (Level-2A) or 13 bands (Level-1C)",
        remedy="Which bands they are cannot be told from the file; use weights of these counts.",
    )


def _checksum(file: str) -> str:
    """First digits of the SHA-256 that torch's naming convention puts before the suffix."""
    tail = Path(file).stem.rpartition("-")[2]
    return tail if len(tail) == 8 and all(c in "0123456789abcdef" for c in tail) else ""
