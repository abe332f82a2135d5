"""Differences from the frozen outcome that are meant, each with its reason.

Case (or a pattern of cases) → pattern of a key path, as a failing test prints it → why. Patterns
are those of ``fnmatch``. All of it goes when the outcome is frozen again.
"""

from __future__ import annotations

_LAYERS = "layers of cells say AREA_HA_BY_CLASS and GEOLULC_FILES, as those of pixels did"
_DIGEST = "made of the maps' tags, their statistics included, which are summed up in another order"
_WORDS = (
    "the page of a mosaic speaks of pixels where it holds pixels (a bug), and names the classes"
)
_SAMPLE = "pages are made from at most 800 cells a side; mosaics had 730 and whole maps all"
_UNIT = "a mosaic of pixels said that it holds cells (a bug)"
_ENTROPY = "probabilities are decoded by one function: some are one step of 1/250 off"
_ZONES = "zones of cells have share_… and mean_probability, as those of pixels had"
_FILE_TAGS = "the metadata of zones are the tags of the map's file, also of cells"
_RUN = "a map's tags and info say what made it: GEOLULC_RUN"
_ELLIPSOID = "zones are measured on the ellipsoid, wherever they lie: 1e-8 of an area"
_CHANGE = "change.tif says all tags of both maps, also of cells"
_COUNTED = "areas say that they are counted on the map, not estimated"
_CAUTIONS = (
    "cautions stand in a tag, in info, in --json and in the STAC Item; tags are sorted by name"
)
_FOOT = "cautions stand at the foot of the picture"
_AREAS = (
    "the sum of presence probability × area is no area, and a cell's class is the most probable"
)
_FRACTIONS = "the words of a page come from the kind of map: there are maps of cover fractions"
_ENTROPY_SCALE = "entropy of 1 bit does not mean that nothing is known"

#: Tags that maps have since → why. They are not compared.
NEW_TAGS: dict[str, str] = {
    "NOMENCLATURE_TITLE": "a map holds its whole nomenclature",
    "CAUTIONS": "cautions stand in the tags too",
    "MIN_CLEAR": "cells that are not clear have no data",
    "CLASS_FREQUENCIES": "entropy is relative to these",
    "CRS": "a file that is given another CRS is not believed",
}

INTENDED: dict[str, dict[str, str]] = {
    "*": {
        "*/tags:[12]": _COUNTED,
        "*/tags:2[47]": _COUNTED,
        "/info/area_method": _COUNTED,
        "/told/area_method": _COUNTED,
        "*/file tags/GEOLULC_RUN": _RUN,
        "/info/made_with": _RUN,
        "/info, text:*": _RUN,
        "*/file tags/*CAUTIONS": _CAUTIONS,
        "*/cautions": _CAUTIONS,
        "*/geolulc:cautions": _CAUTIONS,
        "/map.png/size/*": _FOOT,
        "/map.html/words:*": _AREAS,
        "*/expected_area_ha": _AREAS,
        "*/column expected_area_ha": _AREAS,
        "/map.gpkg/*/styles/*": _AREAS,
        "/map_*.qml/text:*": _AREAS,
        "/map_summary.csv/*": _AREAS,
        "/map.gpkg/classes/contents/*": _AREAS,
        "/map.gpkg/classes/tags:*": _AREAS,
        "/map_classes.tif/bands/*/description": _AREAS,
        "*/json/assets/*/title": _AREAS,
        "*/json/assets/classes/bands/*/name": _AREAS,
        "*/json/properties/description": _AREAS,
        "*/tags/MEANING": _ENTROPY_SCALE,
        "/map.html/data/doubt": _ENTROPY_SCALE,
        **{
            f"/map.html/data/{key}": _FRACTIONS
            for key in ("certain", "fractions", "title", "value")
        },
    },
    "cells-*": {
        "/map.gpkg/*/tags:*": _LAYERS,
        "/map_*.parquet//tags:*": _LAYERS,
        "/map_*.fgb//tags:*": _LAYERS,
        "/map.html/data/entropy/*": _ENTROPY,
    },
    "pixels-*": {"/map.html/data/entropy/*": _ENTROPY},
    "mosaic-*": {
        "*/file tags/MOSAIC_DIGEST": _DIGEST,
        "/info/mosaic/digest": _DIGEST,
        "/info, text:*": _DIGEST,
        "/map.html/words:*": _WORDS,
        "/map.html/data/classes/*/p/*": _SAMPLE,
        "/map.html/data/entropy/*": _SAMPLE,
        "/map.html/data/margin/*": _SAMPLE,
        "/map_collection.json/json/description": "cells or pixels, not both",
        "/collection.json/json/description": "cells or pixels, not both",
    },
    "mosaic-pixels-*": {
        "/map.html/data/unit": _UNIT,
        "/map.html/data/exclusive": _UNIT,
        "/map.html/data/doubt": _UNIT,
        "/*.json/json/properties/description": _UNIT,
        "/*.tif/file tags/MOSAIC_DIGEST": _DIGEST,
    },
    "zones-*": {
        "*/zone_ha": _ELLIPSOID,
        "*/mapped_share": _ELLIPSOID,
        "/zones.csv/text:*": _ELLIPSOID,
    },
    "zones-cells": {
        "*/file tags/*": _FILE_TAGS,
        "*//tags:*": _FILE_TAGS,
        "*/tags:*": _FILE_TAGS,
        "/zones.csv/text:*": _ZONES,
        "*/share_*": _ZONES,
        "*/mean_probability": _ZONES,
        "*/columns/*": _ZONES,
    },
    "change-cells": {"/map.tif/tags:*": _CHANGE},
    "change-pixels": {"/map.tif/tags:*": _RUN},
    "change-*": {"/text:*": _AREAS},
}
