"""Polygons and points of vector files as labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from geolulc.errors import ParameterError
from geolulc.grid import TileGrid
from geolulc.labelling.burning import CONTESTED, NO_LABEL, PIXEL, Burnt
from geolulc.labelling.classes import NOTHING, made_nomenclature, positions_of, texts_of
from geolulc.labelling.options import BLOCKS, SCENE, TILE, LabelOptions
from geolulc.nomenclature import Nomenclature
from geolulc.ownership import reading
from geolulc.polygons.checks import require_points, require_polygons
from geolulc.polygons.placement import Placement
from geolulc.polygons.reading import read_layers

#: Blocks are squares of this projection, of equal areas everywhere (EASE-Grid 2.0, Brodzik et al.
#: 2012): those of the same ground are the same in every scene, tile and UTM zone.
BLOCKS_CRS: Final = "EPSG:6933"
#: The place of a feature that no scene has claimed yet.
_UNPLACED: Final = -1


@dataclass
class Features:
    """Features with their classes, and the places that they belong to; made by ``read_features``.

    Attributes:
        path: the file.
        nomenclature: the classes.
        crs: of the geometries.
        geometries: shapely, (n,).
        positions: int32 (n,), of the classes.
        places: int32 (n,), numbers of places; -1 before a scene claims the feature.
        points: they are points, not polygons.
        options: how they are burnt.
        left_out: reason → number of features that are no labels.
        repaired: geometries that were invalid.
    """

    path: Path
    nomenclature: Nomenclature
    crs: Any
    geometries: NDArray[Any]
    positions: NDArray[np.int32]
    places: NDArray[np.int32]
    points: bool
    options: LabelOptions
    left_out: dict[str, int]
    repaired: int
    _numbers: dict[str, int] = field(default_factory=dict)
    _burnt: NDArray[np.bool_] = field(init=False)
    _met: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self._burnt = np.zeros(len(self.geometries), bool)
        self._met = np.zeros(len(self.geometries), bool)

    @property
    def place_count(self) -> int:
        """Number of places known so far."""
        return max(len(self._numbers), int(self.places.max(initial=-1)) + 1)

    def on(self, grid: TileGrid, around: str) -> PlacedFeatures:
        """The features on the ground of a scene; see ``Labels``."""
        placement = Placement(self.crs, grid)
        own: list[int] = []
        shapes: list[Any] = []
        for number in placement.near(self.geometries).tolist():
            place = placement.of if self.points else placement.polygons
            shape = place(self.geometries[number])
            if self.options.buffer:
                shape = shapely.buffer(shape, self.options.buffer)
            if not shape.is_empty:
                own.append(number)
                shapes.append(shape)
        numbers = np.array(own, np.int64)
        self._met[numbers] = True
        fresh = numbers[self.places[numbers] == _UNPLACED]
        if len(fresh):
            self.places[fresh] = self._numbers.setdefault(around, len(self._numbers))
        return PlacedFeatures(self, grid, numbers, np.array(shapes, dtype=object))

    def mark(self, numbers: NDArray[np.int64]) -> None:
        """Remember that features have a pixel."""
        self._burnt[numbers] = True

    def facts(self) -> dict[str, Any]:
        """Where labels come from, and what is none."""
        outside = int((~self._met).sum())
        small = int((self._met & ~self._burnt).sum())
        return {
            "file": self.path.name,
            "features": len(self.geometries) + sum(self.left_out.values()),
            "repaired_geometries": self.repaired,
            "features_left_out": {
                **self.left_out,
                **({"outside every scene": outside} if outside else {}),
                **({"without a pixel of their own": small} if small else {}),
            },
        }


class PlacedFeatures:
    """Features on the ground of one scene."""

    def __init__(
        self, features: Features, grid: TileGrid, numbers: NDArray[np.int64], shapes: NDArray[Any]
    ) -> None:
        self._features, self._grid = features, grid
        self._numbers, self._shapes = numbers, shapes
        self._tree = shapely.STRtree(shapes)

    def strip(self, first: int, last: int, folds: NDArray[np.int32] | None) -> Burnt:
        """Labels of pixel rows ``first`` to ``last`` (exclusive); see ``PlacedLabels``."""
        features, grid = self._features, self._grid
        top, bottom = (grid.top - row * PIXEL for row in (first, last))
        box = shapely.box(grid.left, bottom, grid.left + grid.width, top)
        here = np.sort(self._tree.query(box))
        shape = last - first, grid.width // PIXEL
        positions = np.full(shape, NO_LABEL, np.int32)
        if not len(here):
            return Burnt(positions, np.full(shape, _UNPLACED, np.int32))
        numbers = self._numbers[here]
        classes, places = features.positions[numbers], features.places[numbers]
        kinds = [classes] if folds is None else [folds[places], classes]
        # burnt from low to high and from high to low: where both differ, several claim a pixel
        order = np.lexsort(kinds)
        high, low = (self._burn(here, o, shape, top) for o in (order, order[::-1]))
        contested = np.zeros(shape, bool)
        for kind in kinds:
            contested |= kind[high] != kind[low]
        winner = high
        if features.options.overlaps != "ignore":
            in_file = np.arange(len(here))
            if features.options.overlaps == "first":
                in_file = in_file[::-1]
            winner = self._burn(here, in_file, shape, top)
            contested[:] = False
        known = winner >= 0
        features.mark(numbers[np.unique(winner[known])])
        positions[known] = classes[winner[known]]
        positions[contested] = CONTESTED
        return Burnt(positions, np.where(known, places[winner], _UNPLACED).astype(np.int32))

    def _burn(
        self, here: NDArray[np.intp], order: NDArray[np.intp], shape: tuple[int, int], top: float
    ) -> NDArray[np.int32]:
        """Positions in ``here`` of the features that are burnt last, int32; -1 for none."""
        transform = rasterio.Affine(PIXEL, 0, self._grid.left, 0, -PIXEL, top)
        burnt: NDArray[np.int32] = rasterio.features.rasterize(
            ((self._shapes[here[at]], int(at)) for at in order),
            out_shape=shape,
            transform=transform,
            fill=-1,
            all_touched=self._features.options.all_touched,
            dtype=np.int32,
        )
        return burnt


def read_features(
    path: Path,
    column: str,
    options: LabelOptions,
    *,
    points: bool = False,
    layer: str | None = None,
    nomenclature: Nomenclature | None = None,
    skip_unknown: bool = False,
) -> Features:
    """Polygons or points of a vector file in any CRS, with the classes in a column.

    Args:
        path: a file of ``polygons.formats.FORMATS``.
        column: with names or codes of classes.
        options: how they are split.
        points: points are asked for; polygons otherwise.
        layer: of a file with several.
        nomenclature: the classes; None: made from the column.
        skip_unknown: leave out features whose value is not of ``nomenclature``.

    Raises:
        ParameterError: a file that cannot be used, lines, a column that is not there, values that
            are no classes.
    """
    kind = "points" if points else "polygons"
    subject = f"{kind} {path}"
    with reading([path]):
        (frame,) = read_layers(path, subject, layer=layer, single=True).values()
    (require_points if points else require_polygons)(frame, subject)
    texts = texts_of(_column(frame, column, subject, "--field"))
    classes = nomenclature or made_nomenclature(texts, column)
    positions = positions_of(texts, column, classes, skip_unknown=skip_unknown)
    geometries = frame.geometry.to_numpy()
    empty = shapely.is_missing(geometries) | shapely.is_empty(geometries)
    unlabelled = (positions == NOTHING) & ~empty
    kept = ~empty & ~unlabelled
    left_out = {"without a geometry": int(empty.sum()), "without a class": int(unlabelled.sum())}
    if not kept.any():
        raise ParameterError(
            subject,
            found=f"no feature with a class in the column {column!r} and a geometry",
            expected="labelled features",
            remedy="Name another column with --field, or another layer with --layer.",
        )
    geometries = geometries[kept]
    invalid = ~shapely.is_valid(geometries)
    geometries[invalid] = shapely.make_valid(geometries[invalid])
    crs = CRS.from_user_input(frame.crs)
    values = None
    if options.split_by not in (BLOCKS, TILE, SCENE):
        values = texts_of(_column(frame, options.split_by, subject, "--split-by"))
        values = [value for value, keep in zip(values, kept, strict=True) if keep]
    return Features(
        path=path,
        nomenclature=classes,
        crs=crs,
        geometries=geometries,
        positions=positions[kept],
        places=_places(geometries, crs, values, options),
        points=points,
        options=options,
        left_out={reason: count for reason, count in left_out.items() if count},
        repaired=int(invalid.sum()),
    )


def _column(frame: Any, name: str, subject: str, option: str) -> list[Any]:
    columns = [str(c) for c in frame.columns if c != frame.geometry.name]
    if name not in columns:
        raise ParameterError(
            subject,
            found=f"the columns {', '.join(columns[:20]) or 'none'}",
            expected=f"a column {name!r}",
            remedy=f"Name one of them with {option}.",
        )
    return list(frame[name])


def _places(
    geometries: NDArray[Any], crs: CRS, values: list[str] | None, options: LabelOptions
) -> NDArray[np.int32]:
    """The number of the place of each feature, int32 (n,); -1 where scenes will claim them."""
    if values is not None:
        found = np.unique(np.array(values, np.str_), return_inverse=True)[1]
    elif options.split_by != BLOCKS:
        return np.full(len(geometries), _UNPLACED, np.int32)
    else:
        xy = shapely.get_coordinates(shapely.point_on_surface(geometries))
        placed = Transformer.from_crs(crs, BLOCKS_CRS, always_xy=True).transform(*xy.T)
        squares = np.floor(np.stack(placed, axis=1) / options.block_size)
        found = np.unique(squares, axis=0, return_inverse=True)[1]
    return np.asarray(found.ravel(), np.int32)
