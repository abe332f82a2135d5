"""Labels and scenes → a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.datasets import SPLITS, Patch, write_store
from geolulc.errors import DatasetError, ParameterError
from geolulc.labelling.burning import Labels, PlacedLabels
from geolulc.labelling.cutting import Cutter, find_labels
from geolulc.labelling.folds import NO_FOLD, deal, split_of
from geolulc.labelling.options import BLOCKS, TILE, LabelOptions
from geolulc.mapping.workers import Workers
from geolulc.ownership import reading
from geolulc.process import available_cores
from geolulc.products import Scene, open_scene, unplaced_images
from geolulc.progress import NamedProgress, silent
from geolulc.staging import require_free

#: A class in fewer places cannot be in every split.
_SPLITS: Final = len(SPLITS)


def label_scenes(
    scenes: Sequence[Scene | Path | str],
    labels: Labels,
    out: Path,
    options: LabelOptions = LabelOptions(),  # noqa: B008  (frozen)
    *,
    overwrite: int = 0,
    progress: NamedProgress = silent,
) -> dict[str, Any]:
    """Write the patches of ``scenes`` where ``labels`` lie as a store; its manifest.

    Pixels without a label are ignored, not background. A patch with labels of several folds is
    there once for each of them, with the labels of that fold. What was left out, and why, stands
    under ``labelling`` in the manifest.

    Args:
        scenes: of one processing level, also several dates of the same ground.
        labels: ``read_features`` or ``open_reference``.
        out: the store's folder.
        options: how labels are burnt and split.
        overwrite: replace ``out``.
        progress: opens the progress of a piece of work by its name.

    Raises:
        ProductError: a scene cannot be used.
        ParameterError: scenes of two levels; labels that cannot be brought to a scene's CRS.
        DatasetError: no label lies on a scene, or none is left.
        OutputError: ``out`` exists or cannot be written.
    """
    require_free([out], overwrite=overwrite, kind="store")
    with ExitStack() as stack:
        stack.enter_context(unplaced_images())
        stack.enter_context(reading([s for s in scenes if isinstance(s, (str, Path))]))
        opened = [open_scene(s) if isinstance(s, (str, Path)) else s for s in scenes]
        level = _common_level(opened)
        work = _Work(opened, labels, options)
        work.survey(progress)
        work.deal()
        workers = stack.enter_context(Workers(options.threads or available_cores()))
        return write_store(
            out,
            work.patches(workers, progress),
            labels.nomenclature,
            level=level,
            sources=[
                {"dataset": "labels", "name": scene.name, "origin": dict(scene.facts)}
                for scene in opened
            ],
            left_out=lambda: {"hidden": work.cutter.tally.hidden},
            labelling=work.facts,
            overwrite=overwrite,
        )


def _common_level(scenes: Sequence[Scene]) -> str:
    levels = sorted({scene.level for scene in scenes})
    if len(levels) != 1:
        raise ParameterError(
            "scenes",
            found=" and ".join(levels) if levels else "none",
            expected="scenes of one processing level",
            remedy="Label those of each level into a store of its own.",
        )
    return levels[0]


class _Work:
    """What is known of labels and places from scene to scene."""

    def __init__(self, scenes: Sequence[Scene], labels: Labels, options: LabelOptions) -> None:
        self._scenes, self._labels, self._options = scenes, labels, options
        self._classes = len(labels.nomenclature)
        self._counts: dict[tuple[int, int], int] = {}
        self._selected: list[NDArray[np.bool_]] = []
        self._folds = np.empty(0, np.int32)
        self._few: list[str] = []
        self._places: Counter[int] = Counter()
        self._placed: tuple[object, PlacedLabels] | None = None

    def _on(self, scene: Scene) -> PlacedLabels:
        """The labels on a scene's ground; those of the last one are kept for its next date."""
        around = scene.name
        if self._options.split_by == TILE:
            around = scene.facts.get("tile") or scene.name
        key = (scene.grid, around)
        if self._placed is None or self._placed[0] != key:
            self._placed = key, self._labels.on(scene.grid, around)
        return self._placed[1]

    def survey(self, progress: NamedProgress) -> None:
        """Find the patches with labels, and count the labels of each place.

        Dates of one ground count for each other's: a place weighs by its labels, not by scenes.
        """
        with progress("find") as told:
            for number, scene in enumerate(self._scenes, start=1):
                own: dict[tuple[int, int], int] = {}
                self._selected.append(find_labels(scene, self._on(scene), own, self._classes))
                for pair, count in own.items():
                    self._counts[pair] = max(count, self._counts.get(pair, 0))
                if told is not None:
                    told(number, len(self._scenes))
        if not self._counts:
            names = ", ".join(scene.name for scene in self._scenes[:3])
            raise DatasetError(
                "labels",
                found=f"none on the ground of {names}",
                expected="labels that lie on the scenes",
                remedy="Check the CRS of the labels, and that their ground is the scenes'.",
            )

    def deal(self) -> None:
        """Leave out classes in too few places, and deal the places to folds."""
        self._places = Counter(c for _, c in self._counts)
        names = self._labels.nomenclature.names
        least = self._options.least_places
        few = {c for c, count in self._places.items() if count < least}
        self._few = [names[c] for c in sorted(few)]
        counts = {pair: n for pair, n in self._counts.items() if pair[1] not in few}
        if not counts:
            raise DatasetError(
                "labels",
                found=f"no class in {least} places (blocks, values of a column, tiles or scenes)",
                expected="classes to learn",
                remedy="Lower --least-places, or --block-size.",
            )
        folds = self._options.folds
        places = len({place for place, _ in counts})
        if places < _SPLITS:
            raise DatasetError(
                "labels",
                found=f"{places} places to split them by ({self._options.split_by})",
                expected=f"at least {_SPLITS}, one for each split",
                remedy="Lower --block-size, or split by something else (--split-by).",
            )
        self._folds = deal(counts, self._labels.place_count, self._classes, folds,
                           self._options.seed)  # fmt: skip
        self._left = few
        self.cutter = Cutter(self._labels.nomenclature, self._folds, self._options)

    def patches(self, workers: Workers, progress: NamedProgress) -> Iterator[Patch]:
        """The patches of all scenes."""
        for scene, selected in zip(self._scenes, self._selected, strict=True):
            labels = _Without(self._on(scene), self._left)
            with progress(scene.name) as told:
                yield from self.cutter.cut(scene, labels, selected, workers, told)

    def facts(self) -> dict[str, Any]:
        """How labels were made, for the manifest."""
        options, names = self._options, self._labels.nomenclature.names
        tally = self.cutter.tally
        by_split: dict[str, Counter[str]] = {name: Counter() for name in SPLITS}
        by_fold: dict[str, int] = {str(f): 0 for f in range(options.folds)}
        for (c, fold), count in sorted(tally.pixels.items()):
            by_split[split_of(fold, folds=options.folds)][names[c]] += count
            by_fold[str(fold)] += count
        by = f"{options.block_size} m" if options.split_by == BLOCKS else ""
        return {
            **self._labels.facts(),
            **({"missing_bands": self.cutter.missing} if self.cutter.missing else {}),
            "split_by": f"{options.split_by} {by}".strip(),
            "places": int((self._folds != NO_FOLD).sum()),
            "places_by_class": {names[c]: n for c, n in sorted(self._places.items())},
            "left_out_classes": self._few,
            "pixels": {split: dict(found) for split, found in by_split.items()},
            "pixels_by_fold": by_fold,
            "pixels_without_label": {k: n for k, n in sorted(tally.lost.items()) if n},
            "patches_by_scene": {s.name: tally.patches[s.name] for s in self._scenes},
        }


class _Without:
    """Labels without some classes."""

    def __init__(self, labels: PlacedLabels, classes: set[int]) -> None:
        self._labels, self._classes = labels, sorted(classes)

    def strip(self, first: int, last: int, folds: NDArray[np.int32] | None) -> Any:
        burnt = self._labels.strip(first, last, folds)
        if self._classes:
            burnt.positions[np.isin(burnt.positions, self._classes)] = -1
        return burnt
