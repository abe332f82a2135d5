"""The seed's experiment: six models, one store, one table beside the published one."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from geolulc import __version__
from geolulc.datasets import open_store
from geolulc.learning.config import TrainConfig
from geolulc.learning.evaluation import Evaluation, evaluate
from geolulc.learning.intervals import Interval
from geolulc.learning.leaks import leak_of
from geolulc.learning.markdown import markdown_table
from geolulc.learning.trackers import Tracker
from geolulc.learning.training import train
from geolulc.nets import load_checkpoint
from geolulc.ownership import OWN
from geolulc.safe_texts import for_markdown
from geolulc.staging import explained, require_free, staged

#: Columns of the seed's table: title, our figure, whether the seed gives per cent.
COLUMNS: Final = (
    ("F2 macro", "f2_macro", True),
    ("F2 micro", "f2_micro", True),
    ("F2 samples", "f2_samples", True),
    ("Coverage*", "coverage_error_seed", False),
    ("LRAP*", "lrap_seed", True),
    ("Hamming", "hamming_loss", False),
)
#: Columns of our own, on scores.
HONEST: Final = (
    ("AP macro", "ap_macro", True),
    ("AP micro", "ap_micro", True),
    ("Coverage", "coverage_error", False),
    ("LRAP", "lrap", True),
)
#: (backbone, fusion) → the row of the seed's README (images/results.png).
PUBLISHED: Final[Mapping[tuple[str, str], tuple[float, ...]]] = {
    ("efficientnet_b5", "early"): (41.1, 58.9, 63.2, 13.44, 59.7, 0.097),
    ("efficientnet_b5", "intermediate"): (7.1, 12.0, 19.5, 19.0, 32.4, 0.152),
    ("efficientnet_b5", "late"): (16.3, 30.9, 35.9, 15.63, 40.9, 0.142),
    ("resnet18", "early"): (41.1, 56.8, 61.5, 13.58, 57.5, 0.105),
    ("resnet18", "intermediate"): (29.8, 49.9, 55.3, 14.05, 54.9, 0.110),
    ("resnet18", "late"): (29.5, 48.7, 53.9, 14.29, 53.5, 0.113),
}
#: Fewer patches than this make a smoke test, and the table says so.
SMOKE_TEST: Final = 10_000


@dataclass(frozen=True)
class SeedTable:
    """The six models on a store.

    Attributes:
        store, split: what they were evaluated on.
        train_patches, patches: numbers of patches trained and evaluated on.
        rows: (backbone, fusion) → evaluation.
    """

    store: str
    split: str
    train_patches: int
    patches: int
    rows: Mapping[tuple[str, str], Evaluation]

    def as_json(self) -> list[dict[str, Any]]:
        """One mapping a model: its figures, and the seed's."""
        return [
            {
                "backbone": key[0],
                "fusion": key[1],
                **{name: evaluation.as_json()[name] for name in ("figures", "intervals")},
                "published": {c[0]: v for c, v in zip(COLUMNS, PUBLISHED[key], strict=True)},
            }
            for key, evaluation in self.rows.items()
        ]

    def as_markdown(self) -> str:
        """The table: our figure, and the seed's in brackets."""
        rows = []
        for key, evaluation in self.rows.items():
            ours = [
                _value(evaluation.figures[n], percent, evaluation.intervals.get(n))
                for _, n, percent in COLUMNS + HONEST
            ]
            theirs = [f" ({seed:g})" for seed in PUBLISHED[key]] + [""] * len(HONEST)
            rows.append([" ".join(key), *map(operator.add, ours, theirs)])
        lines = markdown_table(["model", *(c[0] for c in COLUMNS + HONEST)], rows)
        lines += [
            f"Trained on {self.train_patches} patches of {for_markdown(self.store)}, evaluated on "
            f"the {self.patches} of {self.split}. In brackets: the seed's README.",
            "Columns with * are computed on predictions cut at 0.5, as the seed did; the last four "
            "on scores. F2 and Hamming use thresholds chosen on validation for F2; the seed cut at "
            "0.5. In square brackets: 95 % intervals, by resampling whole tiles (five at least).",
        ]
        leaks = {text for e in self.rows.values() for text in leak_of(e.touching, e.patches)}
        lines += sorted(leaks)
        if self.train_patches < SMOKE_TEST:
            lines.append(
                "**A smoke test**: so few patches show that the six models train and are scored, "
                "not how good they are; the seed used the whole of BigEarthNet."
            )
        return "\n".join(lines)


def make_seed_table(
    store: Path,
    folder: Path,
    changes: Mapping[str, Any],
    *,
    split: str = "test",
    device: str = "auto",
    trackers: Callable[[str], Sequence[Tracker]] = lambda name: (),
) -> SeedTable:
    """Train and evaluate the six models of the seed's table; table.md and table.json in ``folder``.

    Runs that are finished in ``folder`` are taken as they are, and one that was stopped goes on.

    Args:
        store: a store with train and val splits and ``split``.
        folder: where the six runs go; made if it is not there.
        changes: settings that differ from the defaults, for all six.
        split: what is evaluated.
        device: as for ``train``.
        trackers: name of a run → its trackers.

    Raises:
        OutputError, DatasetError, ParameterError, TrainingError: as ``train`` and ``evaluate`` do.
    """
    opened = open_store(store)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "table.json", folder / "table.md"]
    require_free(files, overwrite=OWN)
    rows = {}
    for backbone, fusion in PUBLISHED:
        name = f"{backbone}_{fusion}"
        # the table's own figure is F2: let the thresholds serve it
        settings = {"threshold_beta": 2.0, **changes, "backbone": backbone, "fusion": fusion}
        config = TrainConfig.from_mapping(settings)
        train(store, folder / name, config, device=device, resume=True, trackers=trackers(name))
        model = load_checkpoint(folder / name)
        rows[backbone, fusion] = evaluate(model, opened, split, device=device, seed_compat=True)
    table = SeedTable(
        opened.path.name, split, len(opened.split("train")), len(opened.split(split)), rows
    )
    made = {"made_by": f"geolulc {__version__}"}
    text = json.dumps([{**row, **made} for row in table.as_json()], indent=2) + "\n"
    with staged(files, overwrite=OWN) as (plain, markdown):
        plain.write_text(text, encoding="utf-8")
        markdown.write_text(table.as_markdown() + "\n", encoding="utf-8")
    return table


def _value(value: float, percent: bool, interval: Interval | None) -> str:
    if not math.isfinite(value):
        return "–"
    if not percent:
        return f"{value:.3f}"
    if interval is None:
        return f"{100 * value:.1f}"
    low, high = interval
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
