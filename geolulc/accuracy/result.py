"""The result of an assessment as values that JSON can hold, and remarks in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolulc import __version__
from geolulc.accuracy.classified import ClassifiedMap
from geolulc.accuracy.estimators import UNKNOWN, Accuracy, Estimate
from geolulc.accuracy.looking import Seen
from geolulc.accuracy.reference import ReferencePoints
from geolulc.accuracy.restored import Restored

#: A sample may leave out this share of the map: areas of strata went through text.
_NEGLIGIBLE = 1e-3


def result_of(
    classified: ClassifiedMap,
    points: ReferencePoints,
    seen: Seen,
    restored: Restored,
    labelled: NDArray[np.bool_],
    found: Accuracy,
) -> dict[str, Any]:
    """What accuracy.json holds; classes that neither map nor reference has are left out."""
    several = bool(found.false_alarm)
    in_map = seen.totals.pixels > 0
    counted = found.counts
    present = (
        in_map | (counted[:, 0].sum(axis=1) + counted[:, 1, 0] > 0)
        if several
        else in_map | (counted.sum(axis=0) > 0)
    )
    kept = [int(k) for k in np.flatnonzero(present)]
    names = [classified.names[k] for k in kept]

    def by_class(estimates: Sequence[Estimate]) -> dict[str, dict[str, Any]]:
        return {classified.names[k]: asdict(estimates[k]) for k in kept}

    area = by_class(found.area_ha)
    for k in kept:
        # of several classes a cell, the map's are those that it is the most probable class of
        key = "counted_dominant" if several else "counted"
        area[classified.names[k]][key] = float(seen.totals.hectares[k])
    matrix = (found.counts, found.proportions)
    counts, proportions = (m[kept] if several else m[np.ix_(kept, kept)] for m in matrix)
    result: dict[str, Any] = {
        "map": str(classified.path),
        "reference": str(points.path),
        "geolulc_version": __version__,
        "design": {
            "kind": restored.kind,
            "stored": restored.stored,
            "words": restored.words,
            "strata": int(restored.sample.covered.sum()),
        },
        "points": {
            "in_file": len(points),
            "unlabelled": int((~labelled).sum()),
            "used": len(restored.used),
            "on_no_data": int((labelled & (seen.mapped == UNKNOWN)).sum()),
        },
        "several_classes": several,
        "mapped_ha": float(seen.totals.hectares.sum()),
        "overall": asdict(found.overall),
        "users": by_class(found.users),
        "producers": by_class(found.producers),
        "f1": by_class(found.f1),
        "area_ha": area,
        "matrix": {
            "classes": names,
            "rows": "map",
            "columns": "reference",
            "counts": counts.tolist(),
            "area_proportions": proportions.tolist(),
        },
    }
    if several:
        result["false_alarm"] = by_class(found.false_alarm)
    if classified.unchanged is not None:
        result["change_ha"] = asdict(_rest(found.area_ha, classified.unchanged))
    result["remarks"] = [*restored.remarks, *_remarks(classified, seen, restored, found, result)]
    return result


def _rest(areas: Sequence[Estimate], position: int) -> Estimate:
    """The area of all classes but one, whose errors are those of the one."""
    one = areas[position]
    known = [area.estimate for area in areas if area.estimate is not None]
    rest = None if one.estimate is None else sum(known) - one.estimate
    return Estimate(rest, one.standard_error, one.ci95)


def _remarks(
    classified: ClassifiedMap,
    seen: Seen,
    restored: Restored,
    found: Accuracy,
    result: dict[str, Any],
) -> list[str]:
    remarks = []
    points, several = result["points"], result["several_classes"]
    if points["unlabelled"]:
        remarks.append(
            f"Points without a reference: {points['unlabelled']}, left out as if not drawn."
        )
    if points["on_no_data"]:
        remarks.append(f"Points where the map has no data: {points['on_no_data']}.")
    if several:
        remarks.append(
            "Several classes can be present in a cell: producer's accuracy is the detection rate, "
            "the areas are of cells in which a class is present, and overall accuracy asks for all "
            "classes of a cell at once."
        )
    elif classified.several:
        remarks.append("The reference has one class a point: the most probable one is compared.")
    if not several:
        rows = found.counts.sum(axis=1)
        for k, name in enumerate(classified.names):
            if seen.totals.pixels[k] and not rows[k]:
                area = seen.totals.hectares[k]
                remarks.append(f"No point lies on the map's class {name} ({area:,.1f} ha).")
    missing = float(
        seen.totals.hectares.sum() - restored.sample.areas[restored.sample.covered].sum()
    )
    if missing > _NEGLIGIBLE * result["mapped_ha"]:
        remarks.append(
            f"{missing:,.1f} ha of the map are in no stratum with a point: no figure covers them."
        )
    lone = restored.sample.covered & (restored.sample.drawn == 1) & (restored.sample.units > 1)
    if lone.any():
        remarks.append(
            f"{int(lone.sum())} strata have one point: figures in which they take part have no "
            "interval. Label a second point in each."
        )
    sure = [
        name
        for name, estimate in result["users"].items()
        if estimate["standard_error"] == 0 and estimate["estimate"] in (0.0, 1.0)
    ]
    if sure:
        remarks.append(
            f"All points agree, or none, on {', '.join(sure)}: an interval of 0 is too narrow for "
            "them; more points would tell."
        )
    return remarks
