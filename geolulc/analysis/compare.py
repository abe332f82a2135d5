"""Two maps of one grid side by side, window by window: two dates, or two models."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas
from numpy.typing import NDArray
from rasterio.windows import Window

from geolulc import __version__
from geolulc.analysis.map_file import MapFile, open_main
from geolulc.errors import ParameterError
from geolulc.maps.areas import ground_areas
from geolulc.maps.header import MapHeader
from geolulc.nomenclature import NO_CLASS, Codes, Nomenclature
from geolulc.outputs.cautions import TAG, Caution, cautions_tag, change_cautions
from geolulc.outputs.files import require_geotiff
from geolulc.outputs.qgis_styles import Entry, paletted_style
from geolulc.outputs.rasters import Band, RasterPlan, RasterWriter, raster_memory
from geolulc.ownership import reading
from geolulc.progress import Progress
from geolulc.safe_texts import for_csv
from geolulc.staging import claimed, require_free, staged

#: The first of these that is above all codes + 1 makes one value of two codes.
_FACTORS: Final = (100, 1000)


@dataclass(frozen=True)
class Transitions:
    """The values of change.tif.

    Attributes:
        header: the classes.
        factor: the value of a transition is this × the class before + the class after.
    """

    header: MapHeader
    factor: int

    @classmethod
    def of(cls, header: MapHeader) -> Transitions:
        """``ParameterError`` where the codes are too high."""
        highest = int(header.codes.max())
        for factor in _FACTORS:
            if highest < factor - 1:
                return cls(header, factor)
        raise ParameterError(
            "the two maps",
            found=f"class codes up to {highest}",
            expected=f"codes below {_FACTORS[-1] - 1}, so that two make one value of change.tif",
            remedy="Compare maps of a nomenclature with lower codes.",
        )

    @property
    def unchanged(self) -> int:
        """Value of a cell of one class in both maps: above every code, below most transitions."""
        return self.factor - 1

    @property
    def plan(self) -> RasterPlan:
        """The layout of change.tif."""
        bands = (
            Band("New class", {"MEANING": f"class after; {self.unchanged} = unchanged"}),
            Band("Transition", {"MEANING": f"{self.factor} × class before + class after"}),
        )
        dtype = "uint16" if self.factor == _FACTORS[0] else "uint32"
        nodata = NO_CLASS if self.header.codes.all() else int(np.iinfo(dtype).max)
        return RasterPlan(self.header.grid, bands, dtype, nodata=nodata, overviews="MODE")

    def bands(self, old: Codes, new: Codes) -> NDArray[np.unsignedinteger[Any]]:
        """The bands of change.tif, (2, rows, columns), from the codes before and after."""
        plan = self.plan
        values = np.stack([new, old]).astype(plan.dtype)
        values[1] = values[1] * self.factor + new
        values[0][old == new] = self.unchanged
        none = self.header.no_class
        values[:, (old == none) | (new == none)] = plan.nodata
        return values


def compare_files(
    before: Path,
    after: Path,
    out: Path,
    *,
    coarser: Nomenclature | None = None,
    overwrite: int = 0,
    progress: Progress | None = None,
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Compare two map.tif of one grid into change.tif, change.qml and change_matrix.csv.

    change.tif is uint16 with two bands, 0 = no data in one of the maps: "New class" has the
    class after where it changed and 99 where not; "Transition" has 100 × class before + class
    after. With codes from 99 on it is uint32, with 999 and 1000 ×; where a class has the code 0,
    no data is the highest value. The matrix has a row for each class before and a column for each
    class after, in hectares on the ground, counted on the maps: the true area of change is
    estimated from a sample of change.tif (``geolulc.accuracy``). All files are written or none.

    Args:
        before: a map.tif, of cells or of pixels.
        after: the map.tif that it is compared with, of the same kind and grid.
        out: path of change.tif; the other names derive from it.
        coarser: a nomenclature that holds the classes of both; its classes are compared.
        overwrite: 1 to replace what geolulc wrote, 2 for any file.
        progress: called with (done, total) windows of the maps.

    Returns:
        The files ("style", "matrix", "change"), and figures that JSON can hold. Hectares are on
        the ground, of the cells that both maps have data of, if not said otherwise:

        - ``before``, ``after``: scene and model of the maps;
        - ``cautions``: what is no change in it, and the cautions of both maps;
        - ``compared_ha``; ``only_before_ha``, ``only_after_ha``: area that only one of them maps;
        - ``agreement``: share of the compared area with one class in both; None without any;
        - ``classes``: for each class ``before_ha``, ``after_ha``, ``both_ha``; ``agreement``: the
          area where both have the class as a share of the area where either has it (intersection
          over union), None where neither has; ``probability_change``: the mean of after less
          before, weighted by area, None for maps of pixels and where nothing is compared. Of
          maps of cover fractions these areas are sums of fraction × area of the cell, and
          ``both_ha`` of the smaller fraction; transitions are those of the most extensive class;
        - ``transitions``: changes of class, the largest first.

    Raises:
        OutputError: an input is no map.tif, or a file exists (without ``overwrite``) or cannot be
            written.
        ParameterError: ``out`` does not end in .tif, or the maps' units, grids, nomenclatures or
            classes differ.
    """
    out = Path(out)
    require_geotiff(out)
    paths = {
        "style": out.with_suffix(".qml"),
        "matrix": out.with_name(out.stem + "_matrix.csv"),
        "change": out,
    }
    with ExitStack() as stack:
        stack.enter_context(reading([before, after]))
        require_free(list(paths.values()), overwrite=overwrite)
        stack.enter_context(claimed(paths["change"]))
        stack.enter_context(raster_memory())
        first, second = (stack.enter_context(open_main(path, coarser)) for path in (before, after))
        _require_comparable(first.header, second.header)
        values = Transitions.of(first.header)
        temporary = stack.enter_context(staged(list(paths.values()), overwrite=overwrite))
        targets = dict(zip(paths, temporary, strict=True))
        told = change_cautions(*((one.header, one.cautions) for one in (first, second)))
        sums = _write_raster(first, second, targets["change"], values, told, progress)
        entries = [Entry(values.unchanged, "Unchanged", "#d9d9d9")]
        entries += [Entry(c.code, f"Now {c.name}", c.color) for c in first.header.land_cover]
        targets["style"].write_text(paletted_style(entries), encoding="utf-8")
        names = list(first.header.classes)
        index = pandas.Index(names, name="before \\ after")
        table = pandas.DataFrame(sums.matrix, index=index, columns=names)
        targets["matrix"].write_text(for_csv(table, index=True), encoding="utf-8")
        return paths, _figures(first.header, second.header, sums, told)


class _ChangeSums:
    """Hectares by class before and after, and changes of probability, added up by windows.

    Attributes:
        areas: float64 (class before, class after): hectares; the first row and the first column
            are those of no data.
    """

    def __init__(self, header: MapHeader) -> None:
        self._header = header
        self._count = len(header.classes) + 1
        self._position = header.positions + 1
        self.areas = np.zeros((self._count, self._count))
        self._change: NDArray[np.float64] = np.zeros(self._count - 1)
        self._covers: NDArray[np.float64] = np.zeros((3, self._count - 1))

    def add(
        self,
        window: Window,
        codes: Sequence[Codes],
        shares: Sequence[NDArray[np.float32]],
    ) -> None:
        """Count the cells of a window: codes before and after, and probabilities, if known."""
        old, new = codes
        grid, method = self._header.grid, self._header.unit.areas
        weights = ground_areas(grid, method, *window.toslices())
        pair = self._position[old] * self._count + self._position[new]
        areas = np.bincount(pair.ravel(), weights=weights.ravel(), minlength=self.areas.size)
        self.areas += areas.reshape(self.areas.shape)
        if shares:
            both = (self._position[old] > 0) & (self._position[new] > 0)
            old_shares, new_shares = (part[:, both].astype(np.float64) for part in shares)
            self._change += (new_shares - old_shares) @ weights[both]
            if self._header.fractions:
                parts = old_shares, new_shares, np.minimum(old_shares, new_shares)
                self._covers += [part @ weights[both] for part in parts]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """float64 (class before, class after): hectares of the cells that both maps have."""
        return self.areas[1:, 1:]

    def of_class(self, position: int) -> tuple[float, float, float]:
        """Hectares of a class before, after and in both, of the cells that both maps have."""
        if self._header.fractions:
            before, after, both = self._covers[:, position].tolist()
            return before, after, both
        i, matrix = position, self.matrix
        return float(matrix[i].sum()), float(matrix[:, i].sum()), float(matrix[i, i])

    @property
    def compared(self) -> float:
        """Hectares of the cells that both maps have."""
        return float(self.matrix.sum())

    @property
    def agreement(self) -> float | None:
        """Share of ``compared`` with one class in both maps; None without any."""
        return float(np.trace(self.matrix)) / self.compared if self.compared else None

    def probability_change(self, position: int) -> float | None:
        """Mean change of the probability of a class; None where it is not known."""
        if self._header.exclusive or not self.compared:
            return None
        return float(self._change[position] / self.compared)


def _write_raster(
    first: MapFile,
    second: MapFile,
    path: Path,
    values: Transitions,
    told: Sequence[Caution],
    progress: Progress | None,
) -> _ChangeSums:
    """Write change.tif; returns the sums of the two maps."""
    sums = _ChangeSums(first.header)
    pair = first, second
    with RasterWriter(path, values.plan) as writer:
        walk = list(first.windows())
        for i, window in enumerate(walk, start=1):
            if not all(map_file.is_gap(window) for map_file in pair):
                codes = [map_file.codes(window) for map_file in pair]
                exclusive = first.header.exclusive
                shares = [] if exclusive else [map_file.shares(window) for map_file in pair]
                sums.add(window, codes, shares)
                writer.write(window.row_off, window.col_off, values.bands(*codes))
            if progress is not None:
                progress(i, len(walk))
        writer.finish({**_tags(first, second, sums), TAG: cautions_tag(told)})
    return sums


def _tags(first: MapFile, second: MapFile, sums: _ChangeSums) -> dict[str, str]:
    tags = {
        f"{side}_{name}": value
        for side, map_file in (("BEFORE", first), ("AFTER", second))
        for name, value in map_file.tags.items()
        if "TIFFTAG" not in name
    }
    agreement = np.nan if sums.agreement is None else sums.agreement
    return {
        **tags,
        "TIFFTAG_SOFTWARE": f"geolulc {__version__}",
        "GEOLULC_VERSION": __version__,
        "GEOLULC_FILE": "change",
        "AREA_METHOD": first.header.unit.areas.words,
        "AGREEMENT": f"{agreement:.6g}",
        "COMPARED_AREA_HA": repr(sums.compared),
    }


def _figures(
    before: MapHeader, after: MapHeader, sums: _ChangeSums, told: Sequence[Caution]
) -> dict[str, Any]:
    names, matrix = before.classes, sums.matrix
    classes = []
    for i, name in enumerate(names):
        old, new, both = sums.of_class(i)
        either = old + new - both
        classes.append(
            {
                "name": name,
                "before_ha": old,
                "after_ha": new,
                "both_ha": both,
                "agreement": both / either if either else None,
                "probability_change": sums.probability_change(i),
            }
        )
    changed = [
        {"before": names[i], "after": names[j], "area_ha": float(matrix[i, j])}
        for i, j in zip(*np.nonzero(matrix), strict=True)
        if i != j
    ]
    return {
        "before": {**before.scene, "model": before.model.get("name")},
        "after": {**after.scene, "model": after.model.get("name")},
        "compared_ha": sums.compared,
        "only_before_ha": float(sums.areas[1:, 0].sum()),
        "only_after_ha": float(sums.areas[0, 1:].sum()),
        "agreement": sums.agreement,
        "cautions": [caution.text for caution in told],
        "area_method": before.unit.areas.words,
        "classes": classes,
        "transitions": sorted(changed, key=lambda t: -float(str(t["area_ha"]))),
    }


def _require_comparable(before: MapHeader, after: MapHeader) -> None:
    for what, a, b in (
        ("unit", before.unit.many, after.unit.many),
        ("values", before.unit.values, after.unit.values),
        ("coordinate reference system", before.grid.extent.crs, after.grid.extent.crs),
        (f"{before.unit.one} size in metres", before.grid.cell, after.grid.cell),
        ("extent", before.grid.extent, after.grid.extent),
        ("nomenclature", before.nomenclature.id, after.nomenclature.id),
        ("list of classes", before.classes, after.classes),
    ):
        if a != b:
            raise ParameterError(
                "the two maps",
                found=f"another {what}: {a} and {b}",
                expected=f"maps of the same {before.unit.many} and classes",
                remedy="Map both scenes of one tile with one cell size, area and nomenclature.",
            )
