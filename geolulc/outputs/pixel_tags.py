"""The tags by which the files of a map at pixel precision say what they are."""

from __future__ import annotations

import json
from typing import Final

from geolulc import __version__
from geolulc.outputs.pixel_areas import PIXEL_AREA_METHOD
from geolulc.outputs.pixel_tallies import PixelTally, pixel_classes
from geolulc.pixel_map import PixelMapHeader

#: The tag that only maps at pixel precision have.
PIXEL_SIZE_TAG: Final = "PIXEL_SIZE_M"


def pixel_tags(header: PixelMapHeader, tally: PixelTally) -> dict[str, str]:
    """Tags that every file of a map at pixel precision carries."""
    grid = header.grid
    rows, columns = grid.shape
    left, top = grid.transform.c, grid.transform.f
    summaries = tally.summaries()
    tags = {
        "TIFFTAG_SOFTWARE": f"geolulc {__version__}",
        "GEOLULC_VERSION": __version__,
        "NOMENCLATURE": header.nomenclature,
        "CLASSES": _compact([{"name": c.name, "code": c.code} for c in pixel_classes(header)]),
        PIXEL_SIZE_TAG: str(grid.resolution),
        "EXTENT": _compact([left, top - grid.height, left + grid.width, top]),
        "TILE_EXTENT": _compact(
            [
                grid.tile.left,
                grid.tile.top - grid.tile.height,
                grid.tile.left + grid.tile.width,
                grid.tile.top,
            ]
        ),
        "MAPPED_PIXELS": str(tally.mapped_pixels),
        "NODATA_PIXELS": str(rows * columns - tally.mapped_pixels),
        "MAPPED_AREA_HA": repr(tally.mapped_area),
        "AREA_HA_BY_CLASS": _compact(
            {s.land_cover.name: round(s.area_ha, 4) for s in summaries if s.cells}
        ),
        "AREA_METHOD": PIXEL_AREA_METHOD,
        "MASKED_SCL": _compact(list(header.masked_scl)),
    }
    tags.update({f"SCENE_{k.upper()}": str(v) for k, v in header.scene.items()})
    tags.update({f"MODEL_{k.upper()}": str(v) for k, v in header.model.items()})
    return tags


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
