"""Two maps of pixels of one grid side by side, block by block."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geolulc import __version__
from geolulc.errors import ParameterError
from geolulc.nomenclature import NO_CLASS
from geolulc.outputs.change import TRANSITION_FACTOR
from geolulc.outputs.change_files import (
    UNCHANGED,
    change_style,
    class_matrix,
    list_transitions,
    plan_change,
)
from geolulc.outputs.pixel_areas import PIXEL_AREA_METHOD, area_rows
from geolulc.outputs.pixel_rasters import ROWS, RasterPlan, RasterWriter
from geolulc.outputs.pixel_reading import PixelMap, opened_pixels
from geolulc.outputs.pixel_tallies import pixel_classes
from geolulc.outputs.rasters import Band, raster_memory
from geolulc.outputs.writing import explained
from geolulc.pixel_map import PixelMapHeader
from geolulc.staging import staged

_BANDS: Final = (
    Band("New class", {"MEANING": f"class after; {UNCHANGED} = unchanged"}),
    Band("Transition", {"MEANING": f"{TRANSITION_FACTOR} × class before + class after"}),
)


def compare_pixels(
    before: Path, after: Path, out: Path, *, overwrite: bool = False
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Write change.tif, change.qml and change_matrix.csv of two map.tif of pixels.

    Returns:
        Part → path, and what ``change_files.describe_change`` says of maps of cells; the change
        of probabilities is not known (None).

    Raises:
        OutputError: an input is no map.tif of pixels, or a file exists or cannot be written.
        ParameterError: the maps' grids, nomenclatures or classes differ.
    """
    paths = plan_change(Path(out))
    with ExitStack() as stack:
        stack.enter_context(raster_memory())
        first = stack.enter_context(opened_pixels(Path(before)))
        second = stack.enter_context(opened_pixels(Path(after)))
        _require_same(first.header, second.header)
        temporary = stack.enter_context(staged(list(paths.values()), overwrite=overwrite))
        stack.enter_context(explained(paths["change"]))
        targets = dict(zip(paths, temporary, strict=True))
        areas = _write_raster(first, second, targets["change"])
        names, classes = first.header.classes, pixel_classes(first.header)
        targets["style"].write_text(change_style(classes), encoding="utf-8")
        # the first row and column are those without data
        class_matrix(names, areas[1:, 1:]).to_csv(targets["matrix"])
        return paths, _description(first.header, second.header, areas)


def _write_raster(first: PixelMap, second: PixelMap, path: Path) -> NDArray[np.float64]:
    """Write change.tif; hectares by class before (row) and after (column), the first none."""
    grid = first.header.grid
    classes = pixel_classes(first.header)
    index = np.zeros(256, np.intp)
    index[[c.code for c in classes]] = range(1, len(classes) + 1)
    areas = np.zeros((len(classes) + 1) ** 2)
    plan = RasterPlan(grid, _BANDS, 0, "MODE", dtype="uint16")
    rows, columns = grid.shape
    with RasterWriter(path, path.with_name(".change.rows.tif"), plan) as writer:
        for top in range(0, rows, ROWS):
            window = Window(0, top, columns, min(ROWS, rows - top))
            old, new = (m.dataset.read(1, window=window) for m in (first, second))
            pair = index[old] * (len(classes) + 1) + index[new]
            weights = area_rows(grid, top, window.height)
            areas += np.bincount(pair.ravel(), weights=weights.ravel(), minlength=areas.size)
            writer.append(_changes(old, new))
        matrix = areas.reshape(len(classes) + 1, -1)
        compared = float(matrix[1:, 1:].sum())
        agreement = float(np.trace(matrix[1:, 1:])) / compared if compared else np.nan
        writer.finish(_tags(first, second, compared, agreement))
    return matrix


def _changes(old: NDArray[np.uint8], new: NDArray[np.uint8]) -> NDArray[np.uint16]:
    transitions = TRANSITION_FACTOR * old.astype(np.uint16) + new
    transitions[(old == NO_CLASS) | (new == NO_CLASS)] = 0
    shown = np.where(old == new, np.uint16(UNCHANGED), new.astype(np.uint16))
    return np.stack([np.where(transitions == 0, np.uint16(0), shown), transitions])


def _tags(first: PixelMap, second: PixelMap, compared: float, agreement: float) -> dict[str, str]:
    tags = {f"BEFORE_{k}": v for k, v in first.tags.items() if "TIFFTAG" not in k}
    tags |= {f"AFTER_{k}": v for k, v in second.tags.items() if "TIFFTAG" not in k}
    return {
        **tags,
        "TIFFTAG_SOFTWARE": f"geolulc {__version__}",
        "GEOLULC_VERSION": __version__,
        "GEOLULC_FILE": "change",
        "AREA_METHOD": PIXEL_AREA_METHOD,
        "AGREEMENT": f"{agreement:.6g}",
        "COMPARED_AREA_HA": repr(compared),
    }


def _description(
    before: PixelMapHeader, after: PixelMapHeader, areas: NDArray[np.float64]
) -> dict[str, Any]:
    matrix = areas[1:, 1:]
    compared = float(matrix.sum())
    classes = []
    for i, name in enumerate(before.classes):
        old, new, both = (float(x) for x in (matrix[i].sum(), matrix[:, i].sum(), matrix[i, i]))
        either = old + new - both
        classes.append(
            {
                "name": name,
                "before_ha": old,
                "after_ha": new,
                "both_ha": both,
                "agreement": both / either if either else None,
                "probability_change": None,
            }
        )
    return {
        "before": {**before.scene, "model": before.model.get("name")},
        "after": {**after.scene, "model": after.model.get("name")},
        "compared_ha": compared,
        "only_before_ha": float(areas[1:, 0].sum()),
        "only_after_ha": float(areas[0, 1:].sum()),
        "agreement": float(np.trace(matrix)) / compared if compared else None,
        "area_method": PIXEL_AREA_METHOD,
        "classes": classes,
        "transitions": list_transitions(before.classes, matrix),
    }


def _require_same(before: PixelMapHeader, after: PixelMapHeader) -> None:
    for what, a, b in (
        ("pixel grid", before.grid, after.grid),
        ("nomenclature", before.nomenclature, after.nomenclature),
        ("list of classes", before.classes, after.classes),
    ):
        if a != b:
            raise ParameterError(
                "the two maps",
                found=f"another {what}: {a} and {b}",
                expected="maps of the same pixels and classes",
                remedy="Map both scenes of one tile with the same --resolution, area and model.",
            )
