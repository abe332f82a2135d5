"""A map and reference points → accuracy and areas, with their confidence intervals."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.accuracy.classified import ClassifiedMap, open_classified
from geolulc.accuracy.columns import ALTERNATIVE, REFERENCE
from geolulc.accuracy.estimators import (
    UNKNOWN,
    Accuracy,
    Sample,
    estimate_accuracy,
    estimate_presence,
)
from geolulc.accuracy.looking import Seen, look
from geolulc.accuracy.pictures import disagreements, overview
from geolulc.accuracy.published import publish
from geolulc.accuracy.reference import ReferencePoints, read_points
from geolulc.accuracy.report import write_files
from geolulc.accuracy.restored import restore
from geolulc.accuracy.result import result_of
from geolulc.analysis.assessed import write_record
from geolulc.errors import OutputError
from geolulc.outputs.rasters import raster_memory
from geolulc.progress import Progress
from geolulc.staging import claimed, require_free, staged

#: What the folder of an assessment is marked as.
KIND: Final = "accuracy"
#: What is written beside the map.
RECORDED: Final[tuple[str, ...]] = (
    "reference", "design", "points", "overall", "users", "producers", "f1", "false_alarm",
    "area_ha", "remarks",
)  # fmt: skip


@dataclass(frozen=True)
class _Truth:
    """What the points of a file say of a map's classes.

    Attributes:
        classes: intp (point,): position of the true class; of several, ``UNKNOWN``.
        alternative: the same of a second class that is right too; None without such a column.
        presence: bool (class, point): of several classes a cell; None else.
        labelled: bool (point,).
    """

    classes: NDArray[np.intp]
    alternative: NDArray[np.intp] | None
    presence: NDArray[np.bool_] | None
    labelled: NDArray[np.bool_]

    @classmethod
    def of(
        cls, points: ReferencePoints, classified: ClassifiedMap, field: str, alternative: str
    ) -> _Truth:
        land_cover = classified.classes
        if classified.several and points.names_several(field, land_cover):
            presence = points.presence(field, land_cover)
            nothing = np.full(len(points), UNKNOWN, np.intp)
            return cls(nothing, None, presence, np.asarray(presence.any(axis=0)))
        labels = points.labels(field, land_cover)
        second = points.labels(alternative, land_cover) if alternative in points.table else None
        return cls(labels, second, None, np.asarray(labels != UNKNOWN))

    def estimate(self, sample: Sample, seen: Seen, used: NDArray[np.intp]) -> Accuracy:
        """The accuracy of the map, from the points that are used."""
        mapped = seen.mapped[used]
        if self.presence is not None:
            here = seen.presence[:, used]
            return estimate_presence(sample, here, self.presence[:, used], mapped != UNKNOWN)
        second = None if self.alternative is None else self.alternative[used]
        count = len(seen.presence)
        return estimate_accuracy(sample, mapped, self.classes[used], count, alternative=second)

    def agrees(self, seen: Seen) -> NDArray[np.bool_]:
        """bool (point,): the map is right there."""
        if self.presence is not None:
            return np.asarray((self.presence == seen.presence).all(axis=0))
        right = self.classes == seen.mapped
        if self.alternative is not None:
            right |= self.alternative == seen.mapped
        return np.asarray(right & (seen.mapped != UNKNOWN))

    def names(self, classified: ClassifiedMap) -> list[str]:
        """The true class of each point, or classes, in words."""
        all_names = np.array([*classified.names, ""], dtype=object)
        if self.presence is None:
            return list(all_names[self.classes])
        return ["; ".join(all_names[:-1][column]) for column in self.presence.T]


def assess_map(
    map_path: Path,
    reference: Path,
    out: Path,
    *,
    classes: Path | None = None,
    field: str = REFERENCE,
    alternative: str = ALTERNATIVE,
    kappa: bool = False,
    overwrite: int = 0,
    progress: Progress | None = None,
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Estimate a map's accuracy and the true areas of its classes from reference points.

    The design of the sample is taken from the points' columns (``columns``). Points without one
    are taken as a sample stratified by the map's classes. The figures are also written beside a
    map of geolulc, where ``geolulc info`` finds them, and into its page and STAC Item.

    Args:
        map_path: a map of geolulc, a change.tif, or any raster of one band of classes.
        reference: the points.
        out: a new folder.
        classes: the nomenclature of a stranger's raster.
        field: column of the true class, by name or code; of maps of cells, of several classes
            with ";" between.
        alternative: column of a second class that is right too, if there is one.
        kappa: give Cohen's kappa too.
        overwrite: replace ``out``.
        progress: called with (done, total) windows of the map.

    Returns:
        The files ("json", "markdown", "html", "estimates", "matrix", "matrix_area"; beside the map
        "record", "page" and "stac"), and what accuracy.json holds: ``overall``, and by class name
        ``users``, ``producers``, ``f1`` and ``area_ha`` in hectares, each with ``estimate``,
        ``standard_error`` and ``ci95`` (half width), None where the sample does not tell;
        ``matrix``, with the map's classes in rows; ``design``, ``points``, ``remarks``; of several
        classes a cell also ``false_alarm``, and a matrix of presence and absence for each class; of
        a change.tif also ``change_ha``.

    Raises:
        OutputError: ``map_path`` is no map, or ``out`` exists or cannot be written.
        ParameterError: the points, or the nomenclature, cannot be used.
    """
    out = Path(out)
    require_free([out], overwrite=overwrite, kind=KIND)
    with ExitStack() as stack:
        stack.enter_context(claimed(out))
        stack.enter_context(raster_memory())
        classified = stack.enter_context(open_classified(map_path, classes))
        points = read_points(reference, classified.crs)
        truth = _Truth.of(points, classified, field, alternative)
        seen = look(classified, points.x, points.y, progress)
        restored = restore(points, seen, truth.labelled)
        found = truth.estimate(restored.sample, seen, restored.used)
        result = result_of(classified, points, seen, restored, truth.labelled, found)
        if kappa and truth.presence is None:
            result["kappa"] = found.kappa
        right, names = truth.agrees(seen), truth.names(classified)
        wrong = [int(i) for i in restored.used if not right[i] and seen.mapped[i] != UNKNOWN]
        pictures = {
            "overview": overview(classified, seen, restored.used, right),
            "wrong": disagreements(classified, points, seen, names, wrong),
            "wrong_in_all": len(wrong),
        }
        with staged([out], overwrite=overwrite, kind=KIND) as (folder,):
            folder.mkdir()
            files = write_files(folder, result, pictures)
        paths = {name: out / file for name, file in files.items()}
        if classified.header is not None:
            try:
                kept = {name: result[name] for name in RECORDED if name in result}
                paths["record"] = write_record(classified.path, kept)
                paths |= publish(classified.path, result, kept)
            except OutputError as error:
                result["remarks"].append(f"The figures were not written beside the map: {error}")
    return paths, result
