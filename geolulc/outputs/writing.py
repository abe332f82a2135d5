"""A map's files, all or none."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import rasterio
from pyogrio.errors import DataSourceError, FeatureError
from rasterio._err import CPLE_BaseError  # raised on closing, and public nowhere else
from rasterio.errors import RasterioError

from geolulc.errors import OutputError, one_line
from geolulc.landcover_map import LandCoverMap
from geolulc.outputs.attribute_table import attribute_table
from geolulc.outputs.cells import ClassSummary, map_classes, mapped_area, summarize_classes
from geolulc.outputs.class_raster import write_classes
from geolulc.outputs.legends import (
    class_entries,
    count_entries,
    entropy_entries,
    probability_entries,
)
from geolulc.outputs.model_item import write_model_item
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.picture import Backdrop, write_picture
from geolulc.outputs.presence import write_presence
from geolulc.outputs.probabilities import write_probabilities
from geolulc.outputs.qgis_styles import paletted_style, ramp_style
from geolulc.outputs.rasters import raster_memory
from geolulc.outputs.report import ReportContent, write_report
from geolulc.outputs.stac import ItemContent, relative_href, write_item
from geolulc.outputs.uncertainty import write_uncertainty
from geolulc.outputs.vectors import write_vectors
from geolulc.staging import staged

_DEFAULTS: Final = OutputOptions()
#: What GDAL, QGIS and SQLite leave beside a file; of an older file, it would lie about the new one.
_SIDECARS: Final = (".aux.xml", ".ovr", ".msk", "-wal", "-shm", "-journal")


def write_map(
    landcover_map: LandCoverMap,
    out: Path,
    *,
    outputs: Iterable[str] | None = None,
    options: OutputOptions = _DEFAULTS,
    overwrite: bool = False,
    backdrop: Backdrop | None = None,
    model: Mapping[str, Any] | None = None,
    source: Path | None = None,
) -> dict[str, Path]:
    """Write the files of a map beside each other; all appear at the end, map.tif last.

    Args:
        landcover_map: the map.
        out: path of map.tif; the other names derive from it.
        outputs: which files, of ``files.OUTPUTS``; None as in ``options``.
        options: what to write, and how.
        overwrite: replace what is there. Files that an older map of this name has and the new
            one has not are removed: they would not belong to it.
        backdrop: a true-colour image for picture and report: uint8 (rows, columns, 3) and its
            pixel → projected transform.
        model: what ``geolulc.nets.describe_model`` says of the model, for STAC and report.
        source: the product, for STAC's link to it.

    Returns:
        Part → its path, as in ``files.plan_outputs``.

    Raises:
        OutputError: a file exists (without ``overwrite``) or cannot be written.
        ParameterError: an unknown output, dtype or format.
    """
    if outputs is not None:
        options = replace(options, outputs=tuple(outputs))
    cells = options.writes_cells(landcover_map.grid)
    paths = options.plan(Path(out), cells=cells, model=model is not None)
    superseded = superseded_files(Path(out), paths.values()) if overwrite else set()
    landcover_map = replace(
        landcover_map,
        scene=plain_facts(landcover_map.scene),
        model=plain_facts(landcover_map.model),
    )
    summaries = summarize_classes(landcover_map)
    with (
        staged(list(paths.values()), overwrite=overwrite) as temporary,
        explained(list(paths.values())[-1]),
        raster_memory(),
    ):
        targets = dict(zip(paths, temporary, strict=True))
        _write_rasters(targets, landcover_map, summaries, options)
        if "vectors" in targets:
            write_vectors(targets, landcover_map, summaries, cells=cells)
        if "picture" in targets:
            write_picture(targets["picture"], landcover_map, summaries, backdrop)
        if "report" in targets:
            names = [path.name for part, path in paths.items() if part != "report"]
            write_report(
                targets["report"],
                ReportContent(landcover_map, summaries, backdrop, model, sorted(names)),
            )
        if "stac" in targets:
            _write_stac(targets, landcover_map, model, source, Path(out).parent)
    remove_superseded(superseded, paths.values())
    return paths


def plain_facts(facts: Mapping[str, str]) -> dict[str, str]:
    """Texts without control characters: they come from a product's or a model's metadata."""
    return {key: one_line(value) for key, value in facts.items()}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What GDAL and SQLite say of a full disk, which is no ``OSError``, as an ``OutputError``."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, DataSourceError, FeatureError, sqlite3.Error) as error:
        raise OutputError(
            path,
            found=f"{type(error).__name__}: {error}",
            expected="to write the whole output",
            remedy="Free some space or give another path; nothing incomplete was left behind.",
        ) from error


def _write_stac(
    targets: Mapping[str, Path],
    landcover_map: LandCoverMap,
    model: Mapping[str, Any] | None,
    source: Path | None,
    folder: Path,
) -> None:
    model_file = targets.get("stac.model")
    if model is not None and model_file is not None:
        write_model_item(model_file, model, beside=folder)
    write_item(
        targets["stac"],
        ItemContent(landcover_map.header, mapped_area(landcover_map)),
        targets,
        model=model,
        model_file=model_file.name if model_file else None,
        source=relative_href(source, folder) if source else None,
    )


def _write_rasters(
    targets: Mapping[str, Path],
    landcover_map: LandCoverMap,
    summaries: tuple[ClassSummary, ...],
    options: OutputOptions,
) -> None:
    tags = {
        "GEOLULC_FILES": json.dumps(sorted(path.name for path in targets.values())),
        "AREA_HA_BY_CLASS": json.dumps(
            {s.land_cover.name: round(s.area_ha, 4) for s in summaries if s.cells},
            ensure_ascii=False,
        ),
    }
    styles = {}
    if "probabilities" in targets:
        write_probabilities(targets["probabilities"], landcover_map, dtype=options.dtype, tags=tags)
        expected = [s.expected_area_ha for s in summaries]
        styles["probabilities"] = ramp_style(
            probability_entries(), band=1 + expected.index(max(expected))
        )
    if "classes" in targets:
        write_classes(targets["classes"], landcover_map, tags=tags)
        styles["classes"] = paletted_style(class_entries(map_classes(landcover_map)))
        targets["classes.attributes"].write_text(attribute_table(summaries), encoding="utf-8")
    if "presence" in targets:
        write_presence(targets["presence"], landcover_map, tags=tags)
        styles["presence"] = ramp_style(count_entries(), discrete=True)
    if "uncertainty" in targets:
        write_uncertainty(targets["uncertainty"], landcover_map, tags=tags)
        styles["uncertainty"] = ramp_style(entropy_entries())
    for part, style in styles.items():
        targets[part + ".style"].write_text(style, encoding="utf-8")


def superseded_files(out: Path, paths: Iterable[Path]) -> set[Path]:
    """The files of the map that is at ``out`` now which a new one of ``paths`` would not have."""
    return _files_of(out) - set(paths)


def remove_superseded(superseded: set[Path], paths: Iterable[Path]) -> None:
    """Remove ``superseded_files``, and what GDAL and QGIS left beside older files of ``paths``."""
    for path in superseded | _stale_sidecars(paths):
        path.unlink(missing_ok=True)


def _files_of(out: Path) -> set[Path]:
    """The files that the map at ``out`` says it consists of, as far as they are there."""
    try:
        with rasterio.open(out) as dataset:
            names = json.loads(dataset.tags().get("GEOLULC_FILES", "[]"))
    except (rasterio.errors.RasterioIOError, ValueError):
        return set()
    stem = out.stem
    # only names of the shape we write, so that no tag can point elsewhere
    return {
        out.with_name(name)
        for name in names
        if isinstance(name, str)
        and name.startswith(stem)
        and Path(name).name == name
        and out.with_name(name).is_file()
    }


def _stale_sidecars(paths: Iterable[Path]) -> set[Path]:
    written = set(paths)
    return {
        sidecar
        for path in written
        if path.suffix.lower() in (".tif", ".tiff", ".gpkg")
        for ending in _SIDECARS
        if (sidecar := path.with_name(path.name + ending)) not in written and sidecar.is_file()
    }
