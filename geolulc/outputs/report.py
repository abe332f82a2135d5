"""map.html: a page for people, complete in itself; it asks nothing of a network."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray
from PIL import Image

from geolulc import __version__
from geolulc.landcover_map import LandCoverMap
from geolulc.outputs.bar_chart import bar_chart
from geolulc.outputs.cautions import cautions
from geolulc.outputs.cells import (
    ClassSummary,
    dominant_codes,
    entropy,
    entropy_of_one,
    map_classes,
    map_thresholds,
    mapped_area,
    margin,
)
from geolulc.outputs.figures import MapFigures
from geolulc.outputs.map_unit import CELLS, MapUnit
from geolulc.outputs.picture import Backdrop, scale_bar_length

#: At most so many cells along a side are shown; a page with more is slow to load.
_MOST_SHOWN: Final = 320
#: Shares 0..1 are stored in steps of 1/250; 255 = no data.
_STEPS, _NO_DATA = 250, 255
_WIDEST_BACKDROP: Final = 1000
#: How expected areas add up, by whether classes exclude each other.
_EXPECTED: Final[Mapping[bool, str]] = {
    True: "they add up to the map",
    False: "several classes can share a cell, so these can add up to more than the map",
}


@dataclass(frozen=True)
class ReportContent:
    """What a report shows.

    Attributes:
        landcover_map: the map.
        summaries: its classes.
        backdrop: the true-colour image, if there is one.
        model: what ``geolulc.nets.describe_model`` says, if it is known.
        files: names of the map's other files.
        facts: what the head of the page says; None: what is known of the scene.
        figures: of the whole map, where ``landcover_map`` is a sample of it.
        unit: what the whole map consists of.
        cell: side of one in metres; None: that of ``landcover_map``.
    """

    landcover_map: LandCoverMap
    summaries: Sequence[ClassSummary]
    backdrop: Backdrop | None = None
    model: Mapping[str, Any] | None = None
    files: Sequence[str] = ()
    facts: Mapping[str, object] | None = None
    figures: MapFigures | None = None
    unit: MapUnit = CELLS
    cell: int | None = None


def write_report(path: Path, content: ReportContent) -> None:
    """Write the page: map over the true-colour image, areas, model card, warnings.

    Everything that comes from a product or a model is escaped: a name cannot run code.
    """
    made = content.landcover_map
    parts = {
        "title": escape(made.scene.get("name", "Land cover")),
        "version": escape(__version__),
        "facts": _list(_facts(made) if content.facts is None else content.facts),
        "warnings": "".join(f"<li>{escape(w)}</li>" for w in _cautions(content)),
        "backdrop": _backdrop_element(content),
        "rows": "".join(_table_row(s) for s in _by_area(content.summaries)),
        "chart": bar_chart(_by_area(content.summaries)),
        "unit": content.unit.one.capitalize(),
        "expected": _EXPECTED[content.unit.exclusive],
        "counted": "Pixels" if content.unit.exclusive else "Cells where present",
        "area_method": escape(content.unit.areas),
        "model": _model_card(made, content.model),
        "files": "".join(f"<li>{escape(name)}</li>" for name in content.files),
        "data": json.dumps(_data(content), ensure_ascii=True).replace("<", "\\u003c"),
    }
    page = resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text, 1)
    path.write_text(page, encoding="utf-8")


def _cautions(content: ReportContent) -> list[str]:
    return cautions(content.landcover_map, content.model, content.figures, content.unit)


def _facts(made: LandCoverMap) -> dict[str, object]:
    scene, grid = made.scene, made.grid
    return {
        "Sensed": scene.get("sensing_time", "unknown"),
        "Satellite": scene.get("platform", "unknown"),
        "Tile": scene.get("tile", "unknown"),
        "Processing baseline": scene.get("baseline", "unknown"),
        "Coordinate reference system": grid.tile.crs,
        "Cells": f"{grid.shape[0]} × {grid.shape[1]} of {grid.stride} m, patches of "
        f"{grid.patch_size} m",
        "Mapped": f"{mapped_area(made):,.0f} ha",
        "Classes": f"{len(made.classes)} ({made.nomenclature})",
    }


def _by_area(summaries: Iterable[ClassSummary]) -> list[ClassSummary]:
    return sorted(summaries, key=lambda s: (-s.area_ha, -s.expected_area_ha))


def _table_row(summary: ClassSummary) -> str:
    c = summary.land_cover
    figures = (
        f"{summary.area_ha:,.1f}",
        f"{summary.share:.1%}",
        f"{summary.expected_area_ha:,.1f}",
        _known(summary.mean_probability),
        _known(summary.dominant_probability),
        f"{summary.present_cells:,}",
    )
    cells = "".join(f"<td>{figure}</td>" for figure in figures)
    return (
        f'<tr><th scope="row"><button type="button" data-layer="class-{c.code}" '
        f'title="Show its probability"><i style="background:{c.color}"></i>'
        f"{escape(c.name)}</button></th>{cells}</tr>"
    )


def _known(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _model_card(made: LandCoverMap, model: Mapping[str, Any] | None) -> str:
    if model is None:
        return _list(made.model) or "<p>Nothing is known of the model.</p>"
    provenance = dict(model.get("provenance", {}))
    card = {
        "Name": model.get("name"),
        "SHA-256": model.get("sha256"),
        "Fusion": model.get("fusion"),
        "Backbone": model.get("backbone"),
        "Parameters": model.get("parameters"),
        "Bands": model.get("bands"),
        "Patch": f"{model.get('patch_size')} m",
        "Temperature": model.get("temperature"),
        "Trained by": provenance.pop("made_by", None),
        "Training patches": provenance.pop("train_patches", None),
        "Validation patches": provenance.pop("val_patches", None),
        "Data": provenance.pop("data", None),
        "Validation scores": provenance.pop("validation", None),
    }
    more = {k.replace("_", " ").capitalize(): v for k, v in provenance.items()}
    card = {k: v for k, v in card.items() if v is not None}
    details = f"<details><summary>More of its training</summary>{_list(more)}</details>"
    return _list(card) + (details if more else "")


def _list(facts: Mapping[str, object]) -> str:
    if not facts:
        return ""
    items = (f"<div><dt>{escape(str(k))}</dt><dd>{_value(v)}</dd></div>" for k, v in facts.items())
    return f"<dl>{''.join(items)}</dl>"


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return _list(value)
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, Iterable):
        return ", ".join(_value(v) for v in value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    return f"{value:,}" if isinstance(value, int) else escape(f"{value:.4g}")


def _backdrop_element(content: ReportContent) -> str:
    if content.backdrop is None:
        return ""
    image, transform = content.backdrop
    tile = content.landcover_map.grid.tile
    place = {
        "left": (transform.c - tile.left) / tile.width,
        "top": (tile.top - transform.f) / tile.height,
        "width": image.shape[1] * transform.a / tile.width,
        "height": -image.shape[0] * transform.e / tile.height,
    }
    picture = Image.fromarray(image)
    picture.thumbnail((_WIDEST_BACKDROP, _WIDEST_BACKDROP))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    style = ";".join(f"{k}:{v:.4%}" for k, v in place.items())
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<img id="backdrop" alt="True colour" style="{style}" src="data:image/jpeg;base64,{data}">'
    )


def _data(content: ReportContent) -> dict[str, Any]:
    """What the page's script draws: cells as base64, and how to read and place them."""
    made, unit = content.landcover_map, content.unit
    grid, tile = made.grid, made.grid.tile
    step = -(-max(grid.shape) // _MOST_SHOWN)
    shown = [np.minimum(np.arange(0, n, step) + step // 2, n - 1) for n in grid.shape]
    pick = np.ix_(*shown)
    thresholds = map_thresholds(made)
    bar = scale_bar_length(tile.width)
    return {
        "rows": len(shown[0]),
        "columns": len(shown[1]),
        "step": step * grid.stride // (content.cell or grid.stride),
        "unit": unit.one,
        "exclusive": unit.exclusive,
        "doubt": unit.doubt,
        "width": len(shown[1]) * step * grid.stride / tile.width,
        "height": len(shown[0]) * step * grid.stride / tile.height,
        "aspect": tile.width / tile.height,
        "left": tile.left,
        "top": tile.top,
        "cell": step * grid.stride,
        "bar": {
            "share": bar / tile.width,
            "label": f"{bar / 1000:g} km" if bar >= 1000 else f"{bar:g} m",
        },
        "classes": [
            {
                "code": c.code,
                "name": c.name,
                "rgb": c.rgb,
                "threshold": float(thresholds[i]),
                "p": _encode(_quantise(made.probabilities[i][pick])),
            }
            for i, c in enumerate(map_classes(made))
        ],
        "codes": _encode(dominant_codes(made)[pick]),
        "entropy": _encode(_quantise((entropy_of_one if unit.exclusive else entropy)(made)[pick])),
        "margin": _encode(_quantise(margin(made)[pick])),
        "ramp": [to_hex(colormaps["viridis"](i / _STEPS)) for i in range(_STEPS + 1)],
    }


def _quantise(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = np.isfinite(share)
    steps = np.round(np.where(known, share, 0) * _STEPS).clip(0, _STEPS)
    return np.where(known, steps, _NO_DATA).astype(np.uint8)


def _encode(values: NDArray[np.uint8]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
