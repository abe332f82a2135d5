"""A comparison as files: change.tif with its style, and the matrix as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas
from numpy.typing import NDArray

from geolulc import __version__
from geolulc.errors import ParameterError
from geolulc.nomenclature import LandCoverClass
from geolulc.outputs.areas import AREA_METHOD
from geolulc.outputs.cells import dominant_codes, map_classes
from geolulc.outputs.change import TRANSITION_FACTOR, Comparison
from geolulc.outputs.qgis_styles import Entry, paletted_style
from geolulc.outputs.rasters import Band, write_raster
from geolulc.outputs.tags import map_tags
from geolulc.staging import staged

#: Value of a cell of the same class in both maps; above every code, below every transition.
UNCHANGED: Final = 99
_UNCHANGED_COLOR: Final = "#d9d9d9"


def plan_change(out: Path) -> dict[str, Path]:
    """The files of a comparison: change.tif last. ``ParameterError`` for another ending."""
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise ParameterError(
            f"output {out}",
            found=f"the ending {out.suffix!r}",
            expected=".tif",
            remedy=f"Give {out.with_suffix('.tif')}, say.",
        )
    return {
        "style": out.with_suffix(".qml"),
        "matrix": out.with_name(out.stem + "_matrix.csv"),
        "change": out,
    }


def write_change(comparison: Comparison, out: Path, *, overwrite: bool = False) -> dict[str, Path]:
    """Write change.tif, change.qml and change_matrix.csv, all or none.

    change.tif is uint16 with two bands, 0 = no data in one of the maps: "New class" has the
    class after where it changed and 99 where not; "Transition" has 100 × class before + class
    after. The matrix has a row for each class before and a column for each class after, in
    hectares on the ground.

    Raises:
        OutputError: a file exists (without ``overwrite``) or cannot be written.
        ParameterError: ``out`` does not end in .tif.
    """
    paths = plan_change(Path(out))
    with staged(list(paths.values()), overwrite=overwrite) as temporary:
        targets = dict(zip(paths, temporary, strict=True))
        _write_raster(comparison, targets["change"])
        targets["style"].write_text(change_style(map_classes(comparison.before)), encoding="utf-8")
        matrix_table(comparison).to_csv(targets["matrix"])
    return paths


def matrix_table(comparison: Comparison) -> Any:
    """DataFrame of hectares: class before (index) × class after (columns)."""
    return class_matrix(comparison.before.classes, comparison.areas_ha)


def class_matrix(classes: Sequence[str], areas: NDArray[np.float64]) -> Any:
    """DataFrame of ``areas``, float64 (class, class): class before (index) × after (columns)."""
    names = list(classes)
    return pandas.DataFrame(areas, index=pandas.Index(names, name="before \\ after"), columns=names)


def describe_change(comparison: Comparison) -> dict[str, Any]:
    """The comparison in figures, JSON-able; transitions from the largest to the smallest."""
    return {
        "before": {**comparison.before.scene, "model": comparison.before.model.get("name")},
        "after": {**comparison.after.scene, "model": comparison.after.model.get("name")},
        "compared_ha": comparison.compared_ha,
        "only_before_ha": comparison.only_before_ha,
        "only_after_ha": comparison.only_after_ha,
        "agreement": _known(comparison.agreement),
        "area_method": AREA_METHOD,
        "classes": [
            {
                "name": c.land_cover.name,
                "before_ha": c.before_ha,
                "after_ha": c.after_ha,
                "both_ha": c.both_ha,
                "agreement": _known(c.agreement),
                "probability_change": _known(c.probability_change),
            }
            for c in comparison.classes
        ],
        "transitions": list_transitions(comparison.before.classes, comparison.areas_ha),
    }


def list_transitions(names: Sequence[str], areas: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Changes of class with their hectares, the largest first."""
    changed = [
        {"before": names[i], "after": names[j], "area_ha": float(areas[i, j])}
        for i, j in zip(*np.nonzero(areas), strict=True)
        if i != j
    ]
    return sorted(changed, key=lambda t: -float(t["area_ha"]))


def _write_raster(comparison: Comparison, path: Path) -> None:
    transitions = comparison.transitions
    after = dominant_codes(comparison.after).astype(np.uint16)
    same = transitions // TRANSITION_FACTOR == transitions % TRANSITION_FACTOR
    new = np.where(transitions == 0, 0, np.where(same, UNCHANGED, after)).astype(np.uint16)
    tags = {f"BEFORE_{k}": v for k, v in map_tags(comparison.before).items()}
    tags |= {f"AFTER_{k}": v for k, v in map_tags(comparison.after).items()}
    write_raster(
        path,
        np.stack([new, transitions]),
        comparison.before.grid,
        [
            Band("New class", {"MEANING": f"class after; {UNCHANGED} = unchanged"}),
            Band("Transition", {"MEANING": f"{TRANSITION_FACTOR} × class before + class after"}),
        ],
        nodata=0,
        tags={
            **{k: v for k, v in tags.items() if "TIFFTAG" not in k},
            "TIFFTAG_SOFTWARE": f"geolulc {__version__}",
            "GEOLULC_VERSION": __version__,
            "GEOLULC_FILE": "change",
            "AREA_METHOD": AREA_METHOD,
            "AGREEMENT": f"{comparison.agreement:.6g}",
            "COMPARED_AREA_HA": repr(comparison.compared_ha),
        },
        overviews="MODE",
    )


def change_style(classes: Sequence[LandCoverClass]) -> str:
    """The .qml of change.tif: its first band."""
    entries = [Entry(UNCHANGED, "Unchanged", _UNCHANGED_COLOR)]
    entries += [Entry(c.code, f"Now {c.name}", c.color) for c in classes]
    return paletted_style(entries)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
