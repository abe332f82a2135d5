"""Which files a map at pixel precision consists of; map.tif holds its classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from geolulc.outputs.files import VECTOR_FORMATS, place_parts, require_known, vector_parts

#: As in ``files``: output → its parts with what follows the stem of ``--out``.
_PARTS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "classes": {
            "classes": ".tif",
            "classes.style": ".qml",
            "classes.attributes": ".tif.aux.xml",
        },
        "confidence": {"confidence": "_confidence.tif", "confidence.style": "_confidence.qml"},
        "top3": {"top3": "_top3.tif", "top3.style": "_top3.qml"},
        "probabilities": {
            "probabilities": "_probabilities.tif",
            "probabilities.style": "_probabilities.qml",
        },
        "vectors": {},  # by format, in ``files``
        "stac": {"stac": ".json", "stac.model": "_model.json"},
        "picture": {"picture": ".png"},
        "report": {"report": ".html"},
    }
)
#: What can be asked for of a map at pixel precision.
PIXEL_OUTPUTS: Final = tuple(_PARTS)
#: All probabilities of a tile are 2.3 GB before compression: only when they are asked for.
DEFAULT_PIXEL_OUTPUTS: Final = tuple(
    name for name in PIXEL_OUTPUTS if name not in ("probabilities", "report")
)


def plan_pixel_outputs(
    out: Path,
    outputs: Iterable[str] = DEFAULT_PIXEL_OUTPUTS,
    *,
    vector_format: str = "gpkg",
    model: bool = True,
) -> dict[str, Path]:
    """The files of ``outputs`` beside ``out``, which names map.tif; it holds the classes.

    Returns:
        Part → path, map.tif last, as in ``files.plan_outputs``.

    Raises:
        ParameterError: an unknown output or format, no output, or ``out`` does not end in .tif.
    """
    wanted = tuple(outputs)
    require_known(wanted, PIXEL_OUTPUTS, "outputs of a map at pixel precision")
    require_known((vector_format,), VECTOR_FORMATS, "vector format")
    parts: dict[str, str] = {}
    for name in PIXEL_OUTPUTS:
        if name in wanted:
            parts |= vector_parts(vector_format, False) if name == "vectors" else _PARTS[name]
    if not model:
        parts.pop("stac.model", None)
    return place_parts(Path(out), parts, main="classes")
