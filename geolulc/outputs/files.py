"""Which files a map consists of: names derive from the path of map.tif."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from geolulc.errors import ParameterError

#: Output → what follows the stem of ``--out``. The first is ``--out`` itself.
SUFFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "probabilities": ".tif",
        "classes": "_classes.tif",
        "vectors": ".gpkg",
        "picture": ".png",
    }
)
#: What a map consists of unless something else is asked for.
DEFAULT_OUTPUTS: Final = ("probabilities", "classes", "vectors", "picture")


def plan_outputs(out: Path, outputs: Iterable[str] = DEFAULT_OUTPUTS) -> dict[str, Path]:
    """The files of ``outputs`` beside ``out``, which names map.tif.

    Nothing is read or written, so a caller can refuse before any work is done
    (``geolulc.staging.require_free``).

    Raises:
        ParameterError: an unknown output, none at all, or ``out`` does not end in .tif.
    """
    out = Path(out)
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise ParameterError(
            f"output {out}",
            found=f"the ending {out.suffix!r}",
            expected=".tif: it is a GeoTIFF, and the other files' names derive from it",
            remedy=f"Give {out.with_suffix('.tif')}, say.",
        )
    wanted = set(outputs)
    unknown = sorted(wanted - set(SUFFIXES))
    if unknown or not wanted:
        raise ParameterError(
            "outputs",
            found=", ".join(unknown) or "none",
            expected=f"some of {', '.join(SUFFIXES)}",
            remedy="Choose from these.",
        )
    return {
        name: out if name == "probabilities" else out.with_name(out.stem + suffix)
        for name, suffix in SUFFIXES.items()
        if name in wanted
    }
