"""A map → a probability sample of it: a file of points to be labelled."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray

from geolulc import __version__
from geolulc.accuracy.classified import ClassifiedMap, WholeMap, open_classified
from geolulc.accuracy.design import (
    SampleOptions,
    Stratum,
    allocate,
    expected_error,
    needed_points,
)
from geolulc.accuracy.drawing import (
    Drawn,
    Frame,
    draw_clusters,
    draw_stratified,
    draw_systematic,
    frame_of,
)
from geolulc.accuracy.looking import classes_at
from geolulc.accuracy.pictures import truecolour_path
from geolulc.accuracy.point_files import ENDINGS, point_table, write_points
from geolulc.accuracy.strata import open_strata
from geolulc.errors import ParameterError
from geolulc.outputs.layer_files import require_ending
from geolulc.outputs.rasters import raster_memory
from geolulc.products import open_scene, true_colour
from geolulc.progress import Progress
from geolulc.staging import claimed, require_free, staged

_UNEQUAL: Final = (
    "With a distance between points, pixels are drawn with probabilities that differ a little "
    "within a stratum; inclusion_probability and the estimates take them as equal."
)
#: Pixels along the true-colour image: a tile at 10 m.
_TILE: Final = 10980


def draw_sample(
    map_path: Path,
    out: Path,
    options: SampleOptions | None = None,
    *,
    classes: Path | None = None,
    strata: Path | None = None,
    strata_field: str | None = None,
    scene: Path | None = None,
    overwrite: int = 0,
    progress: Progress | None = None,
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Draw sample points of a map, for people to label and ``assess_map`` to read.

    Args:
        map_path: a map of geolulc, a change.tif, or any raster of one band of classes.
        out: a new .gpkg, .geojson, .kml or .csv.
        options: the design.
        classes: the nomenclature of a stranger's raster.
        strata: a raster or polygons that are the strata in place of the map's classes.
        strata_field: column of the polygons.
        scene: a Sentinel-2 product, whose true-colour image is written beside the points.
        overwrite: replace what is there.
        progress: called with (done, total) windows of the map.

    Returns:
        The files ("points", "truecolour"), and the design that JSON can hold: ``design``,
        ``points``, ``strata`` with pixels, hectares and points of each, ``standard_error``,
        that is expected of overall accuracy (None of clusters), and ``remarks`` in words.

    Raises:
        OutputError: ``map_path`` or a raster of strata is no map, or a file exists or cannot be
            written.
        ProductError: the scene cannot be read.
        ParameterError: the design cannot be had on this map.
    """
    options, out = options or SampleOptions(), Path(out)
    require_ending(out, ENDINGS)
    if strata is not None and options.design != "stratified":
        raise ParameterError(
            strata,
            found=f"strata of a {options.design} sample",
            expected="strata of a stratified one",
            remedy="Leave --strata out, or take --design stratified.",
        )
    paths = {"truecolour": truecolour_path(out)} if scene is not None else {}
    paths["points"] = out
    require_free(list(paths.values()), overwrite=overwrite)
    with ExitStack() as stack:
        stack.enter_context(claimed(out))
        stack.enter_context(raster_memory())
        classified = stack.enter_context(open_classified(map_path, classes))
        layer = stack.enter_context(open_strata(classified, strata, strata_field))
        frame = frame_of(classified, layer, progress)
        wanted = _points(frame, options)
        rng = np.random.default_rng(options.seed)
        if options.design == "stratified":
            drawn_from = frame
            drawn = draw_stratified(classified, layer, frame, wanted, rng, options.distance)
        else:  # expectations are by class, though there is one stratum
            drawn_from = frame.whole
            drawn = _drawn(WholeMap(classified), drawn_from, int(wanted.sum()), options, rng)
        order = rng.permutation(len(drawn.row))  # rows tell nothing of strata
        seen = classes_at(classified, drawn.row, drawn.column)
        design = _design(classified, drawn_from, drawn, options, strata, frame, wanted)
        table = point_table(classified, drawn_from, drawn, options.design, seen, order)
        temporary = stack.enter_context(staged(list(paths.values()), overwrite=overwrite))
        targets = dict(zip(paths, temporary, strict=True))
        if scene is not None:
            _write_true_colour(scene, targets["truecolour"])
        write_points(targets["points"], table, classified, drawn, order, design)
    return paths, design


def _points(frame: Frame, options: SampleOptions) -> NDArray[np.intp]:
    """Points of each stratum of the frame; of other designs only their sum counts."""
    units = frame.totals.pixels
    shares = frame.totals.hectares / frame.totals.hectares.sum()
    deviations = options.deviations(frame.names)
    size = options.size
    if size is None:
        size = needed_points(shares, deviations, options.standard_error, int(units.sum()))
    if options.design != "stratified":
        return allocate(size, shares, deviations, units, "proportional", 0)
    least = int(np.minimum(options.least, units).sum())
    if options.size is not None and least > options.size:
        strata = int((units > 0).sum())
        raise ParameterError(
            "size",
            found=f"{options.size} points for {strata} strata of {options.least} or more",
            expected=f"at least {least}",
            remedy=f"Give more points, or --least {max(2, options.size // strata)}.",
        )
    return allocate(size, shares, deviations, units, options.allocation, options.least)


def _drawn(
    whole: WholeMap, frame: Frame, size: int, options: SampleOptions, rng: np.random.Generator
) -> Drawn:
    """Pixels of a map that is one stratum."""
    if options.design == "systematic":
        return draw_systematic(whole, frame, size, rng)
    if options.design == "cluster":
        side, points = options.cluster_side, options.cluster_points
        return draw_clusters(whole.map, whole, frame, size, points, side, rng)
    return draw_stratified(whole.map, whole, frame, np.array([size]), rng, options.distance)


def _design(
    classified: ClassifiedMap,
    whole: Frame,
    drawn: Drawn,
    options: SampleOptions,
    strata: Path | None,
    frame: Frame,
    wanted: NDArray[np.intp],
) -> dict[str, Any]:
    points = np.bincount(drawn.stratum, minlength=len(whole.names))
    shares = frame.totals.hectares / frame.totals.hectares.sum()
    return {
        "map": classified.path.name,
        "geolulc_version": __version__,
        "design": options.as_mapping(),
        "strata_from": str(strata) if strata else classified.strata_words,
        "points": len(drawn.row),
        "clusters": None if drawn.cluster is None else len(np.unique(drawn.cluster)),
        "standard_error": (
            None
            if options.design == "cluster"
            else expected_error(shares, options.deviations(frame.names), wanted)
        ),
        "strata": [
            asdict(Stratum(name, int(pixels), float(hectares), int(n)))
            for name, pixels, hectares, n in zip(
                whole.names, whole.totals.pixels, whole.totals.hectares, points, strict=True
            )
            if pixels
        ],
        "remarks": [_UNEQUAL] if options.distance else [],
    }


def _write_true_colour(source: Path, path: Path) -> None:
    scene = open_scene(source)
    image, transform = true_colour(scene, _TILE)
    rows, columns = image.shape[:2]
    with rasterio.open(
        path, "w", driver="GTiff", width=columns, height=rows, count=3, dtype="uint8",
        crs=scene.grid.crs, transform=transform, nodata=0, tiled=True, compress="DEFLATE",
        photometric="RGB",
    ) as dataset:  # fmt: skip
        dataset.update_tags(GEOLULC_VERSION=__version__)
        dataset.write(np.moveaxis(image, -1, 0))
