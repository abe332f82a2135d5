"""The design of a sample, restored from the columns of its points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas
from numpy.typing import NDArray

from geolulc.accuracy.classified import Totals
from geolulc.accuracy.columns import (
    CLUSTER,
    DESIGN,
    HECTARES,
    KINDS,
    PROBABILITY,
    STORED,
    STRATUM,
    UNITS,
    Kind,
)  # fmt: skip
from geolulc.accuracy.estimators import UNKNOWN, Sample
from geolulc.accuracy.looking import Seen
from geolulc.accuracy.reference import ReferencePoints
from geolulc.errors import ParameterError

#: Points that a stratum needs for a variance.
_FEWEST: Final = 2
_WORDS: Final = {
    "stratified": "a stratified random sample",
    "simple": "a simple random sample, poststratified by the map's classes",
    "systematic": "a systematic sample with a random start, poststratified by the map's classes",
    "cluster": "a two-stage cluster sample",
}


@dataclass(frozen=True)
class Restored:
    """A sample as it was drawn, of the points that can be used.

    Attributes:
        sample: the design of these points.
        used: intp (point used,): their rows in the file.
        kind: of the design.
        stored: whether the file has the design; else it is assumed.
        words: the design in words.
        remarks: what readers must know of it.
    """

    sample: Sample
    used: NDArray[np.intp]
    kind: Kind
    stored: bool
    words: str
    remarks: tuple[str, ...] = ()


def restore(points: ReferencePoints, seen: Seen, labelled: NDArray[np.bool_]) -> Restored:
    """The design of the labelled points of a file.

    Args:
        points: the file.
        seen: the map at its points.
        labelled: bool (point,): points with a reference.

    Raises:
        ParameterError: no point can be used, or the columns of the design contradict each other.
    """
    mapped = seen.mapped != UNKNOWN
    if not set(STORED) <= set(points.table.columns) or points.table[DESIGN].isna().all():
        used = _require(points, labelled & mapped, labelled)
        sample = Sample(
            seen.mapped[used],
            seen.totals.hectares,
            seen.totals.pixels.astype(np.float64),
            seen.hectares[used],
        )
        return Restored(
            sample, used, "stratified", False,
            "no design is stored: taken as a random sample stratified by the map's classes",
            ("The file stores no design. Its points are taken as drawn at random within each "
             "class of the map; if they were chosen otherwise, the figures are no estimates.",),
        )  # fmt: skip
    drawn = points.table[STRATUM].notna().to_numpy() & points.table[DESIGN].notna().to_numpy()
    kind = _kind(points)
    poststratified = kind in ("simple", "systematic")
    used = _require(points, labelled & drawn & (mapped | (not poststratified)), labelled)
    remarks = []
    if foreign := int((labelled & ~drawn).sum()):
        remarks.append(f"{foreign} labelled points without a stratum were not drawn: left out.")
    if poststratified:
        sample, merged = _poststratified(seen, used)
        if merged > 1:
            remarks.append(
                f"{merged} classes of the map with few or no points are one poststratum."
            )
    else:
        sample = _as_stored(points, seen, used, clustered=kind == "cluster")
    return Restored(sample, used, kind, True, _WORDS[kind], tuple(remarks))


def _require(
    points: ReferencePoints, usable: NDArray[np.bool_], labelled: NDArray[np.bool_]
) -> NDArray[np.intp]:
    if not usable.any():
        outside = "labelled points, none of them on the map's data"
        raise ParameterError(
            points.path,
            found=f"{int(labelled.sum())} {outside}" if labelled.any() else "no labelled point",
            expected="points of the map with their true class",
            remedy="Fill in the column of the reference, or name it with --field.",
        )
    return np.flatnonzero(usable)


def _kind(points: ReferencePoints) -> Kind:
    found = sorted({str(v) for v in points.table[DESIGN].dropna()})
    if len(found) != 1 or found[0] not in KINDS:
        raise ParameterError(
            points.path,
            found=f"{DESIGN}: {', '.join(found)}",
            expected=f"one design, of {', '.join(KINDS)}",
            remedy="Assess each sample by itself; leave the columns as geolulc sample wrote them.",
        )
    return found[0]


def _as_stored(
    points: ReferencePoints, seen: Seen, used: NDArray[np.intp], *, clustered: bool
) -> Sample:
    table = points.table.iloc[used]
    stratum, names = pandas.factorize(table[STRATUM].astype(str))
    areas = _one_each(points, table, HECTARES, stratum, names)
    if not clustered:
        units = _one_each(points, table, UNITS, stratum, names)
        return Sample(stratum, areas, units, seen.hectares[used])
    probability = _numbers(points, table, PROBABILITY)
    cluster, _ = pandas.factorize(table[CLUSTER].astype(str))
    without = np.full(len(names), np.inf)
    return Sample(stratum, areas, without, seen.hectares[used] / probability, cluster)


def _one_each(
    points: ReferencePoints, table: Any, column: str, stratum: NDArray[np.intp], names: Any
) -> NDArray[np.float64]:
    """The value of each stratum, which all of its points must have."""
    values = _numbers(points, table, column)
    first = np.array([values[stratum == h][0] for h in range(len(names))])
    # numbers may have gone through a file of text
    if not np.allclose(values, first[stratum], rtol=1e-6):
        raise _contradiction(points, f"several values of {column} in one stratum")
    return first


def _numbers(points: ReferencePoints, table: Any, column: str) -> NDArray[np.float64]:
    values = pandas.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    if not (np.isfinite(values) & (values > 0)).all():
        raise _contradiction(points, f"{column} missing, or not above 0")
    return np.asarray(values)


def _contradiction(points: ReferencePoints, found: str) -> ParameterError:
    return ParameterError(
        points.path,
        found=found,
        expected="the columns of the design as geolulc sample wrote them",
        remedy="Restore these columns from the file that was drawn.",
    )


def _poststratified(seen: Seen, used: NDArray[np.intp]) -> tuple[Sample, int]:
    """Strata of the map's classes; those with too few points are one stratum of so many classes.

    Olofsson et al. 2014, section 5.1: the estimators of stratified samples serve simple and
    systematic ones, conditional on the points that fell on each class.
    """
    mapped, totals = seen.mapped[used], seen.totals
    group, merged = _grouped(np.bincount(mapped, minlength=len(totals.pixels)), totals)
    size = len(group)
    sample = Sample(
        group[mapped],
        np.bincount(group, totals.hectares, minlength=size).astype(np.float64),
        np.bincount(group, totals.pixels, minlength=size).astype(np.float64),
        seen.hectares[used],
    )
    return sample, merged


def _grouped(count: NDArray[np.intp], totals: Totals) -> tuple[NDArray[np.intp], int]:
    group = np.arange(len(count))
    present = totals.pixels > 0
    few = present & (count < _FEWEST)
    if not few.any():
        return group, 0
    for k in np.argsort(count, kind="stable"):  # more classes, until they have points enough
        if count[few].sum() >= _FEWEST:
            break
        few[k] |= present[k]
    group[few] = np.flatnonzero(few)[0]
    return group, int(few.sum())
