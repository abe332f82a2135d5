"""Results as tables: grouped over seeds, as CSV, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from geolulc.learning.intervals import Interval
from geolulc.safe_texts import for_csv
from geolulc.staging import write_text
from geolulc.transfer.plan import POOLED, SCRATCH

#: Figure → what it is called.
FIGURES: Final[Mapping[str, str]] = {
    "ap_macro": "AP macro",
    "ap_micro": "AP micro",
    "f1_macro": "F1 macro",
    "f1_micro": "F1 micro",
    "log_loss": "log loss (best: 0)",
    "f1_micro_all": "F1 micro, all classes",
    "false_alarms": "false alarms a patch (best: 0)",
}
#: Figures that are better when they are lower.
LOWER_IS_BETTER: Final = ("log_loss", "false_alarms")

_COLUMNS: Final = (
    "source", "target", "remedy", "mode", "target_size", "seed", "members", "masked",
    "validated_on", "patches", *FIGURES, "temperature", "without", "job",
    *(f"{name}_{end}" for name in ("ap_macro", "ap_micro") for end in ("low", "high")),
)  # fmt: skip


class Cell(NamedTuple):
    """The keys of a row of results, except its seed."""

    source: str
    target: str
    remedy: str
    mode: str = "zero-shot"
    size: int = 0


@dataclass(frozen=True)
class Measured:
    """A figure over seeds.

    Attributes:
        mean: over seeds.
        deviation: between them; None with one.
        interval: (low, high) of 95 % by resampling tiles, the mean of each end over seeds; None
            where tiles are too few.
    """

    mean: float
    deviation: float | None
    interval: Interval | None = None

    def __str__(self) -> str:
        more = "" if self.deviation is None else f" ± {self.deviation:.3f}"
        if self.interval is not None:
            more += f" ({self.interval[0]:.3f} … {self.interval[1]:.3f})"
        return f"{self.mean:.3f}{more}"


def cell_of(row: Mapping[str, Any]) -> Cell:
    """The cell of a row."""
    return Cell(row["source"], row["target"], row["remedy"], row["mode"], row["target_size"])


def measure(rows: Sequence[Mapping[str, Any]], figure: str) -> dict[Cell, Measured]:
    """``figure`` over seeds by cell; not where there is none."""
    values: dict[Cell, list[float]] = {}
    ends: dict[Cell, list[Interval]] = {}
    for row in rows:
        value, interval = row["figures"][figure], row.get("intervals", {}).get(figure)
        if value is not None:
            values.setdefault(cell_of(row), []).append(value)
            if interval is not None and None not in interval:
                ends.setdefault(cell_of(row), []).append(interval)
    return {
        cell: Measured(
            statistics.fmean(found),
            statistics.stdev(found) if len(found) > 1 else None,
            _mean_interval(ends.get(cell, ())) if len(ends.get(cell, ())) == len(found) else None,
        )
        for cell, found in values.items()
    }


def _mean_interval(intervals: Sequence[Interval]) -> Interval:
    low, high = (statistics.fmean(ends) for ends in zip(*intervals, strict=True))
    return low, high


def source_order(sources: Sequence[str]) -> tuple[str, ...]:
    """Sources with the pooled one and fresh weights after them."""
    return (*sources, POOLED, SCRATCH)


def write_runs(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line a test as CSV; lists are joined by semicolons, what is not known is empty."""
    plain = ({**row, **row["figures"], **_ends(row)} for row in rows)
    _write_csv(path, _COLUMNS, [[_plain(row.get(c)) for c in _COLUMNS] for row in plain])


def _ends(row: Mapping[str, Any]) -> dict[str, Any]:
    """The ends of a row's intervals as columns."""
    return {
        f"{name}_{end}": value
        for name, interval in row.get("intervals", {}).items()
        for end, value in zip(("low", "high"), interval, strict=True)
    }


def write_classes(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line a test and class that its target has."""
    lines = [
        [*cell_of(row), row["seed"], *(found[key] for key in ("name", "support", "ap", "f1"))]
        for row in rows
        for found in row["classes"]
    ]
    _write_csv(path, [*Cell._fields, "seed", "class", "support", "ap", "f1"], lines)


def _write_csv(path: Path, columns: Sequence[str], lines: list[list[Any]]) -> None:
    # as objects: whole numbers stay whole beside missing ones
    frame = pd.DataFrame(lines, columns=list(columns), dtype=object)
    write_text(path, for_csv(frame))


def _plain(value: object) -> object:
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else value
