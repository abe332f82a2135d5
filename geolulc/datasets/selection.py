"""The selection of an archive's patches for a store."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from geolulc.datasets.entries import Entry
from geolulc.errors import DatasetError, ParameterError


@dataclass(frozen=True)
class Selection:
    """The patches to keep.

    ``countries`` and ``seasons``: only these (None: all). ``limit``: this many patches, drawn by
    ``seed``; the same for the same seed, and a larger limit keeps those of a smaller one.
    """

    keep_snow: bool = False
    keep_cloud: bool = False
    countries: tuple[str, ...] | None = None
    seasons: tuple[str, ...] | None = None
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ParameterError(
                "limit",
                found=self.limit,
                expected="a positive number of patches",
                remedy="Leave it out to take all.",
            )


def select(entries: Iterable[Entry], selection: Selection) -> tuple[list[Entry], dict[str, int]]:
    """The entries to keep, in their order, and how many were left out for which reason.

    Raises:
        ParameterError: a country or season that no patch has, or that is not known here.
        DatasetError: nothing is left.
    """
    entries = list(entries)
    _require_known("countries", selection.countries, {e.country for e in entries})
    _require_known("seasons", selection.seasons, {e.season for e in entries})
    left_out: Counter[str] = Counter()
    kept = []
    for entry in entries:
        if entry.snow and not selection.keep_snow:
            left_out["snow"] += 1
        elif entry.cloud and not selection.keep_cloud:
            left_out["cloud"] += 1
        elif selection.countries is not None and entry.country is None:
            left_out["country not known"] += 1
        elif selection.countries is not None and entry.country not in selection.countries:
            left_out["country"] += 1
        elif selection.seasons is not None and entry.season not in selection.seasons:
            left_out["season"] += 1
        else:
            kept.append(entry)
    if selection.limit is not None and len(kept) > selection.limit:
        left_out["limit"] = len(kept) - selection.limit
        draws = sorted(_draw(e.name, selection.seed) for e in kept)
        kept = [e for e in kept if _draw(e.name, selection.seed) < draws[selection.limit]]
    if not kept:
        raise DatasetError(
            "archive",
            found=f"no patch left of {len(entries)} ({_counted(left_out)})",
            expected="at least one patch",
            remedy="Select more: --keep-snow, --keep-cloud, other countries or seasons.",
        )
    return kept, dict(sorted(left_out.items()))


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "empty"


def _draw(name: str, seed: int) -> bytes:
    # a hash, not a random generator: independent of order and of what else is in the archive
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def _require_known(what: str, wanted: tuple[str, ...] | None, known: set[str | None]) -> None:
    names = sorted(name for name in known if name)
    for name in wanted or ():
        if name not in names:
            raise ParameterError(
                f"{what} {name!r}",
                found=f"no patch with it (known: {', '.join(names) or 'none'})",
                expected="one that occurs in the archive",
                remedy="Use one of these; for v1, bigearthnet-common brings the list.",
            )
