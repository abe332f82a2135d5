"""The maps that a mosaic is made of: where they are, what their files hold, whether they fit."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from geolulc.analysis.map_file import MapFile, open_map, sibling
from geolulc.errors import GeolulcError, OutputError, ParameterError
from geolulc.maps.header import MapHeader
from geolulc.maps.unit import CELLS, PIXELS, MapUnit
from geolulc.outputs.cautions import Caution
from geolulc.outputs.tags import MOSAIC
from geolulc.text_files import TextFiles

_RASTERS: Final = (".tif", ".tiff")
#: Rasters beside the map.tif of a map of pixels that hold probabilities, the one that says most
#: first: of all classes, of the three most probable ones, of the pixel's own.
PROBABILITIES: Final = ("probabilities", "top3", "confidence")
#: The raster beside the map.tif of a map of cells that holds their valid and clear shares.
SHARES: Final = "uncertainty"
_LISTS: Final = TextFiles(
    OutputError,
    "a map.tif of geolulc map, a folder of them, or a .txt that lists them",
    "Leave it out, or give one of these.",
)


@dataclass(frozen=True, slots=True)
class MapSource:
    """One map, without its cells.

    Attributes:
        path: its map.tif.
        header: the map.
        time: when its scene was sensed.
        beside: name of the raster beside map.tif that is read too: ``SHARES`` of a map of cells,
            None where it has none; of ``PROBABILITIES`` of a map of pixels.
        digest: SHA-256 of all tags of what is read, those of the bands (their statistics)
            included.
        cautions: of the map.
    """

    path: Path
    header: MapHeader
    time: datetime
    beside: str | None
    digest: str
    cautions: tuple[Caution, ...] = ()

    @property
    def path_beside(self) -> Path:
        """The raster ``beside`` map.tif."""
        return self.path.with_name(f"{self.path.stem}_{self.beside}.tif")

    @property
    def has_shares(self) -> bool:
        """Whether valid and clear shares of its cells are known; never of pixels."""
        return self.beside == SHARES

    @property
    def model(self) -> str:
        """SHA-256 of the model that made it; "" where that is not known."""
        return self.header.model.get("sha256", "")


def find_maps(paths: Sequence[Path]) -> list[Path]:
    """The rasters that ``paths`` name: files, folders of .tif, or lists (.txt, a path a line).

    Raises:
        OutputError: a path leads to nothing, or to something else.
    """
    rasters: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in _RASTERS)
            if not inside:
                raise _unusable(path, "a folder without .tif")
            rasters += inside
        elif path.suffix.lower() == ".txt" and path.is_file():
            # relative paths count from the list
            rasters += [path.parent / line for line in _LISTS.paths(path)]
        elif path.suffix.lower() in _RASTERS:
            rasters.append(path)
        else:
            raise _unusable(path, "a file of another kind" if path.exists() else "nothing there")
    return list(dict.fromkeys(rasters))


def are_pixels(paths: Sequence[Path]) -> bool:
    """Whether the first map that ``paths`` name is one of pixels; False if it cannot be read."""
    try:
        with open_map(find_maps(paths)[0]) as first:
            return first.header.exclusive
    except (GeolulcError, IndexError):
        return False


def read_sources(paths: Iterable[Path]) -> list[MapSource]:
    """The maps among ``paths``; the other rasters of maps (classes, presence …) are passed over.

    Raises:
        GeolulcError: a raster is missing, damaged, or was not written by geolulc; maps of cells
            and of pixels together; a mosaic; a map of pixels without probabilities; a map twice;
            or no map.
    """
    sources: list[MapSource] = []
    others = 0
    unit: MapUnit | None = None
    for path in paths:
        with open_map(path) as raster:
            unit = unit or raster.header.unit
            if raster.header.unit != unit:
                raise _mixed(raster, unit)
            source = _read_source(raster)
        if source is None:
            others += 1
        else:
            sources.append(source)
    if not sources:
        raise ParameterError(
            "the maps",
            found=f"none among {others} rasters of maps" if others else "none",
            expected="at least one map.tif of geolulc map",
            remedy="Give the map.tif files, or the folder that holds them.",
        )
    _require_different(sources)
    return sources


def _read_source(raster: MapFile) -> MapSource | None:
    """The map whose map.tif ``raster`` is; None if it is another raster of a map."""
    header = raster.header
    if raster.content != ("classes" if header.exclusive else "probabilities"):
        return None
    if MOSAIC in raster.tags:
        raise _unusable(raster.path, "a mosaic")
    contents: Any = _all_tags(raster)
    if header.sensing_time is None:
        text = header.scene.get("sensing_time", "")
        raise _unusable(raster.path, f"a map of a scene with the sensing time {text!r}")
    beside: str | None
    if header.exclusive:
        beside, more = _probabilities_beside(raster)
        contents = [contents, beside, more]
    else:
        beside = _shares_beside(raster)
    return MapSource(
        path=raster.path,
        header=header,
        time=header.sensing_time,
        beside=beside,
        digest=hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest(),
        cautions=raster.cautions,
    )


def _all_tags(raster: MapFile) -> list[Any]:
    """All tags of a raster, those of the bands (their statistics) included."""
    dataset = raster.dataset
    bands = [dataset.tags(i) for i in range(1, dataset.count + 1)]
    return [dict(raster.tags), bands, list(dataset.descriptions)]


def _shares_beside(raster: MapFile) -> str | None:
    """``SHARES`` where that raster lies beside a map.tif."""
    other = sibling(raster, SHARES)
    if other is None:
        return None
    other.close()
    return SHARES


def _probabilities_beside(raster: MapFile) -> tuple[str, list[Any]]:
    """Name and tags of the raster beside a map.tif of pixels that says most."""
    for name in PROBABILITIES:
        other = sibling(raster, name)
        if other is not None:
            with other:
                return name, _all_tags(other)
    path = raster.path
    raise OutputError(
        path,
        found="no probabilities beside it",
        expected=f"{path.stem}_top3.tif, or {' or '.join(f'_{n}.tif' for n in PROBABILITIES[::2])}",
        remedy="Map the scene again with top3 among the --outputs.",
    )


def _require_different(sources: Sequence[MapSource]) -> None:
    """``ParameterError`` that names a map which is given twice."""
    paths: dict[str, Path] = {}
    for source in sources:
        other = paths.setdefault(source.digest, source.path)
        if other != source.path:
            raise ParameterError(
                source.path,
                found=f"the map that {other} holds too",
                expected="each map once: it would count twice",
                remedy="Leave one of them out.",
            )


def require_alike(sources: Sequence[MapSource], *, mixed_models: bool = False) -> None:
    """``ParameterError`` that names the map whose classes, or model, differ from the first's."""
    first = sources[0]
    for source in sources[1:]:
        if source.header.nomenclature.id != first.header.nomenclature.id:
            raise _different(source, first, f"the nomenclature {source.header.nomenclature.id}")
        missing = set(first.header.classes) ^ set(source.header.classes)
        if missing:
            raise _different(source, first, f"other classes ({', '.join(sorted(missing))})")
        if not source.header.nomenclature.agrees(first.header.nomenclature):
            raise _different(source, first, "other codes of these classes")
    models = Counter(source.model for source in sources)
    if len(models) > 1 and not mixed_models:
        usual = models.most_common(1)[0][0]
        odd = next(s for s in sources if s.model != usual)
        raise ParameterError(
            odd.path,
            found=f"a map by model {odd.model[:12] or 'unknown'}, one of {len(models)} models",
            expected=f"maps by one model ({usual[:12] or 'unknown'}): others differ at the borders",
            remedy="Map all scenes with one model, or pass --allow-different-models.",
        )


def _different(source: MapSource, first: MapSource, found: str) -> GeolulcError:
    header = first.header
    return ParameterError(
        source.path,
        found=found,
        expected=f"the {len(header.classes)} classes of {header.nomenclature.id} in {first.path}",
        remedy="Map all scenes with one model.",
    )


def _mixed(raster: MapFile, unit: MapUnit) -> GeolulcError:
    """The error that names the first map of another kind than ``unit``."""
    kinds = [u.many if u in (CELLS, PIXELS) else u.values for u in (raster.header.unit, unit)]
    return OutputError(
        raster.path,
        found=f"a map of {kinds[0]} among maps of {kinds[1]}",
        expected="maps of one kind",
        remedy="Make a mosaic of each kind.",
    )


def _unusable(path: Path, found: str) -> GeolulcError:
    """The error that names a path which leads to no map of a scene."""
    return OutputError(
        path,
        found=found,
        expected=_LISTS.expected,
        remedy=_LISTS.remedy,
    )
