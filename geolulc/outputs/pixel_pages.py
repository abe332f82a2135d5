"""What tells of a map at pixel precision: its STAC Items, picture and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from geolulc.landcover_map import LandCoverMap
from geolulc.outputs.cells import ClassSummary
from geolulc.outputs.figures import MapFigures
from geolulc.outputs.map_unit import PIXELS
from geolulc.outputs.model_item import write_model_item
from geolulc.outputs.picture import Backdrop, write_picture
from geolulc.outputs.pixel_sample import cell_header
from geolulc.outputs.report import ReportContent, write_report
from geolulc.outputs.stac import ItemContent, relative_href, write_item
from geolulc.pixel_map import PixelMapHeader

#: Of STAC assets, where a map of pixels holds something else than one of cells.
TITLES: Final = {
    "classes": "Class of each pixel",
    "confidence": "Probability of the class",
    "vectors": "Regions of one class",
}


@dataclass(frozen=True)
class PageContent:
    """What the pages tell of.

    Attributes:
        header: the map.
        sample: its pixels at regular steps.
        summaries: its classes, from all pixels.
        figures: of all pixels.
        backdrop: a true-colour image, if there is one.
        model: what ``geolulc.nets.describe_model`` says, if it is known.
        source: the product, if its place is known.
        folder: where the files will lie.
    """

    header: PixelMapHeader
    sample: LandCoverMap
    summaries: Sequence[ClassSummary]
    figures: MapFigures
    backdrop: Backdrop | None
    model: Mapping[str, Any] | None
    source: Path | None
    folder: Path


def write_pages(targets: Mapping[str, Path], content: PageContent) -> None:
    """Write those of picture, report and STAC Items that are among ``targets``."""
    if "picture" in targets:
        write_picture(
            targets["picture"],
            content.sample,
            content.summaries,
            content.backdrop,
            figures=content.figures,
            cell=content.header.grid.resolution,
            unit=PIXELS,
        )
    if "report" in targets:
        names = sorted(path.name for part, path in targets.items() if part != "report")
        report = ReportContent(
            content.sample,
            content.summaries,
            content.backdrop,
            content.model,
            names,
            facts=_facts(content),
            figures=content.figures,
            unit=PIXELS,
            cell=content.header.grid.resolution,
        )
        write_report(targets["report"], report)
    if "stac" in targets:
        _write_items(targets, content)


def _facts(content: PageContent) -> dict[str, object]:
    header, scene = content.header, content.header.scene
    rows, columns = header.grid.shape
    return {
        "Sensed": scene.get("sensing_time", "unknown"),
        "Satellite": scene.get("platform", "unknown"),
        "Tile": scene.get("tile", "unknown"),
        "Processing baseline": scene.get("baseline", "unknown"),
        "Coordinate reference system": header.grid.tile.crs,
        "Pixels": f"{rows:,} × {columns:,} of {header.grid.resolution} m",
        "Mapped": f"{content.figures.area_ha:,.0f} ha",
        "Classes": f"{len(header.classes)} ({header.nomenclature}), one a pixel",
    }


def _write_items(targets: Mapping[str, Path], content: PageContent) -> None:
    model_file = targets.get("stac.model")
    if content.model is not None and model_file is not None:
        write_model_item(model_file, content.model, beside=content.folder)
    write_item(
        targets["stac"],
        ItemContent(
            cell_header(content.header),
            content.figures.area_ha,
            "Class and probabilities of land cover in pixels",
            TITLES,
        ),
        targets,
        model=content.model,
        model_file=model_file.name if model_file else None,
        source=relative_href(content.source, content.folder) if content.source else None,
    )
