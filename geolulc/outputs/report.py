"""map.html: a page for people, complete in itself; it asks nothing of a network.

``report.html`` is its template. The template draws the chart of areas too: an SVG of matplotlib
would bring outlines of letters (50 kB) and could not explain the bar under the pointer.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray
from PIL import Image

from geolulc import __version__
from geolulc.grid import Extent
from geolulc.maps.encoding import ENCODINGS, FULL
from geolulc.maps.header import LandCoverMap, MapHeader
from geolulc.maps.ranking import doubt, frequency_entropy, rank_classes
from geolulc.maps.tally import ClassSummary, MapTotals
from geolulc.outputs.cautions import Caution
from geolulc.outputs.picture import scale_bar_length
from geolulc.outputs.story import Backdrop, Story
from geolulc.outputs.templates import fill

#: At most so many cells along a side are shown; a page with more is slow to load.
_MOST_SHOWN: Final = 320
_WIDEST_BACKDROP: Final = 1000
#: Keys of a model's provenance that the page shows at once, with their titles.
_PROVENANCE: Final = {
    "made_by": "Trained by",
    "train_patches": "Training patches",
    "val_patches": "Validation patches",
    "data": "Data",
    "validation": "Validation scores",
}


def write_report(
    path: Path,
    totals: MapTotals,
    story: Story,
    files: Sequence[str],
    warnings: Sequence[Caution],
) -> None:
    """Write the page: map over the true-colour image, areas, model card, warnings.

    Args:
        path: a new file.
        totals: the map.
        story: the origin of the map.
        files: names of the map's other files.
        warnings: the map's cautions.
    """
    header = totals.header
    summaries = sorted(totals.summaries, key=_shown_first)
    card, training = _model_card(header.model, story.model)
    page = fill(
        "report.html",
        title=header.scene.get("name", "Land cover"),
        version=__version__,
        head=story.facts(header, totals.figures),
        warnings=[caution.text for caution in warnings],
        backdrop=_placed(story.backdrop, header.grid.extent),
        summaries=summaries,
        shown=[s for s in summaries if s.area_ha or s.expected_area_ha],
        unit=header.unit,
        exclusive=header.exclusive,
        fractions=header.fractions,
        adds_up=header.adds_up,
        model=card,
        training=training,
        files=files,
        data=_data(totals.sample, header.grid.cell),
    )
    path.write_text(page, encoding="utf-8")


def _shown_first(summary: ClassSummary) -> tuple[float, float]:
    """The order of classes: by area, then by probability; that is NaN where nothing is mapped."""
    return -summary.area_ha, -np.nan_to_num(summary.mean_probability)


def _model_card(
    named: Mapping[str, str], model: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Facts on the model, and further facts on its training, which the page hides at first."""
    if model is None:
        return named, {}
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
        **{title: provenance.pop(key, None) for key, title in _PROVENANCE.items()},
    }
    more = {k.replace("_", " ").capitalize(): v for k, v in provenance.items()}
    return {k: v for k, v in card.items() if v is not None}, more


def _placed(backdrop: Backdrop | None, extent: Extent) -> dict[str, str] | None:
    """The true-colour image as base64, and its place on the map as a style."""
    if backdrop is None:
        return None
    image, transform = backdrop
    place = {
        "left": (transform.c - extent.left) / extent.width,
        "top": (extent.top - transform.f) / extent.height,
        "width": image.shape[1] * transform.a / extent.width,
        "height": -image.shape[0] * transform.e / extent.height,
    }
    picture = Image.fromarray(image)
    picture.thumbnail((_WIDEST_BACKDROP, _WIDEST_BACKDROP))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    style = ";".join(f"{k}:{v:.4%}" for k, v in place.items())
    return {"style": style, "data": base64.b64encode(buffer.getvalue()).decode()}


def _data(sample: LandCoverMap, cell: int) -> dict[str, Any]:
    """The data of the page's script: cells as base64, and all that it needs to place them."""
    header, grid, extent = sample.header, sample.header.grid, sample.extent
    step = -(-max(grid.shape) // _MOST_SHOWN)
    down, across = (np.minimum(np.arange(0, n, step) + step // 2, n - 1) for n in grid.shape)
    shares = sample.block.shares[:, down[:, None], across]
    ranked = rank_classes(shares, 2)
    side = step * grid.cell
    bar = scale_bar_length(extent.width)
    rows, columns = shares.shape[1:]
    return {
        "rows": rows,
        "columns": columns,
        "step": side // cell,
        "unit": header.unit.one,
        "exclusive": header.exclusive,
        "fractions": header.fractions,
        "certain": header.unit.certain,
        "value": header.unit.value.capitalize(),
        "title": header.unit.title,
        "doubt": _highest_doubt(header),
        "width": columns * side / extent.width,
        "height": rows * side / extent.height,
        "aspect": extent.width / extent.height,
        "left": extent.left,
        "top": extent.top,
        "cell": side,
        "bar": {
            "share": bar / extent.width,
            "label": f"{bar / 1000:g} km" if bar >= 1000 else f"{bar:g} m",
        },
        "classes": [
            {
                "code": c.code,
                "name": c.name,
                "rgb": c.rgb,
                "threshold": float(threshold),
                "p": _steps(p),
            }
            for c, threshold, p in zip(
                header.land_cover, header.presence_thresholds, shares, strict=True
            )
        ],
        "codes": _base64(ranked.dominant(header)),
        "entropy": _steps(doubt(header, shares)),
        "margin": _steps(ranked.margin),
        "ramp": [to_hex(colormaps["viridis"](i / FULL)) for i in range(FULL + 1)],
    }


def _highest_doubt(header: MapHeader) -> str:
    """The end of the scale of ``doubt``, in words."""
    if frequency_entropy(header) is None:
        return header.unit.doubt
    return "1 or more: no surer than class frequencies"


def _steps(shares: NDArray[np.float32]) -> str:
    """Shares 0..1 in steps of 1/250, 255 = no data, as base64."""
    return _base64(ENCODINGS["uint8"].encode(shares[None].clip(0, 1))[0])


def _base64(values: NDArray[np.uint8]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
