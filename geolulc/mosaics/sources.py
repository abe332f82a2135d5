"""The maps that a mosaic is made of: found, read as far as their tags, and held to be alike."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from geolulc.errors import GeolulcError, OutputError, ParameterError
from geolulc.grid import CellGrid
from geolulc.nomenclature import nomenclature
from geolulc.outputs.pixel_tags import PIXEL_SIZE_TAG
from geolulc.outputs.reading import grid_of, opened_map
from geolulc.outputs.tags import MOSAIC, model_of, scene_of
from geolulc.outputs.uncertainty import CLEAR_BAND, VALID_BAND

_RASTERS: Final = (".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class MapSource:
    """One map, without its cells.

    Attributes:
        path: its map.tif.
        grid: its cells.
        classes: names, in the order of the bands.
        nomenclature: their nomenclature.
        thresholds: as in ``LandCoverMap``.
        scene: what it was made from.
        model: what made it.
        time: when its scene was sensed.
        quality: the raster with valid and clear shares; None where there is none.
        digest: SHA-256 of all tags, those of the bands (their statistics) included.
    """

    path: Path
    grid: CellGrid
    classes: tuple[str, ...]
    nomenclature: str
    thresholds: tuple[float, ...]
    scene: dict[str, str]
    model: dict[str, str]
    time: datetime
    quality: Path | None
    digest: str


def find_maps(paths: Sequence[Path]) -> list[Path]:
    """The rasters that ``paths`` name: files, folders of .tif, or lists (.txt, a path a line).

    Raises:
        OutputError: something is not there, or of another kind.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in _RASTERS)
            if not inside:
                raise unusable(path, "a folder without .tif")
            found += inside
        elif path.suffix.lower() == ".txt" and path.is_file():
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                raise unusable(path, "a list that is no text") from None
            lines = [line.strip() for line in text.splitlines()]
            # relative paths count from the list
            found += [path.parent / line for line in lines if line and not line.startswith("#")]
        elif path.suffix.lower() in _RASTERS:
            found.append(path)
        else:
            raise unusable(path, "a file of another kind" if path.exists() else "nothing there")
    return list(dict.fromkeys(found))


def read_sources(
    paths: Iterable[Path], read: Callable[[Path], MapSource | None] | None = None
) -> list[MapSource]:
    """The maps among ``paths``; the other rasters of maps (classes, presence …) are passed over.

    Args:
        paths: rasters.
        read: the map at a path, None for another raster of a map; by default maps of cells.

    Raises:
        GeolulcError: one is missing, damaged, or was not written by geolulc, or there is no map.
    """
    sources = []
    others = []
    for path in paths:
        source = (read or _read_source)(path)
        if source is None:
            others.append(path)
        else:
            sources.append(source)
    if not sources:
        raise ParameterError(
            "the maps",
            found=f"none among {len(others)} rasters of maps" if others else "none",
            expected="at least one map.tif of geolulc map",
            remedy="Give the map.tif files, or the folder that holds them.",
        )
    seen: dict[str, Path] = {}
    for source in sources:
        other = seen.setdefault(source.digest, source.path)
        if other != source.path:
            raise ParameterError(
                source.path,
                found=f"the map that {other} holds too",
                expected="each map once: it would count twice",
                remedy="Leave one of them out.",
            )
    return sources


def _read_source(path: Path) -> MapSource | None:
    with opened_map(path) as dataset:
        tags = dataset.tags()
        if PIXEL_SIZE_TAG in tags:
            raise mixed(path, "a map of pixels among maps of cells")
        if tags.get("GEOLULC_FILE") != "probabilities":
            return None
        if MOSAIC in tags:
            raise unusable(path, "a mosaic")
        grid = grid_of(dataset.crs.to_string(), tags)
        if grid.shape != dataset.shape:
            raise unusable(path, f"a grid of {dataset.shape} cells that its tags contradict")
        names = nomenclature(tags["NOMENCLATURE"])
        for name in dataset.descriptions:
            names[name]
        scene = scene_of(tags)
        bands = [dataset.tags(i) for i in range(1, dataset.count + 1)]
        text = json.dumps([tags, bands, list(dataset.descriptions)], sort_keys=True)
        return MapSource(
            path=path,
            grid=grid,
            classes=tuple(dataset.descriptions),
            nomenclature=names.id,
            thresholds=tuple(json.loads(tags["THRESHOLDS"])),
            scene=scene,
            model=model_of(tags),
            time=sensed(path, scene.get("sensing_time", "")),
            quality=_quality(path, dataset, tags),
            digest=hashlib.sha256(text.encode()).hexdigest(),
        )


def sensed(path: Path, text: str) -> datetime:
    """``text`` as the time when the scene of the map ``path`` was sensed."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise unusable(path, f"a map of a scene with the sensing time {text!r}") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _quality(path: Path, dataset: Any, tags: dict[str, str]) -> Path | None:
    """The raster of shares beside a map.tif, which must be of the same map."""
    quality = path.with_name(f"{path.stem}_uncertainty.tif")
    if not quality.is_file():
        return None
    same = ("SCENE_NAME", "SCENE_SENSING_TIME", "MODEL_SHA256", "STRIDE_M", "MAPPED_AREA_HA")
    with opened_map(quality) as other:
        found = other.tags()
        fits = other.transform == dataset.transform and other.shape == dataset.shape
        if not fits or any(found.get(name) != tags.get(name) for name in same):
            raise OutputError(
                quality,
                found="shares of another map",
                expected=f"those of {path.name}",
                remedy="Map the scene again, or move the file away: the map then weighs 1.",
            )
        known = {VALID_BAND, CLEAR_BAND} & set(other.descriptions)
    return quality if known else None


def require_alike(sources: Sequence[MapSource], *, mixed_models: bool = False) -> None:
    """``ParameterError`` that names the map whose classes, or model, differ from the first's."""
    first = sources[0]
    for source in sources[1:]:
        if source.nomenclature != first.nomenclature:
            raise _different(source, first, f"the nomenclature {source.nomenclature}")
        missing = set(first.classes) ^ set(source.classes)
        if missing:
            raise _different(source, first, f"other classes ({', '.join(sorted(missing))})")
    models = Counter(source.model.get("sha256", "") for source in sources)
    if len(models) > 1 and not mixed_models:
        usual = models.most_common(1)[0][0]
        odd = next(s for s in sources if s.model.get("sha256", "") != usual)
        raise ParameterError(
            odd.path,
            found=f"a map by model {odd.model.get('sha256', '')[:12] or 'unknown'}, one of "
            f"{len(models)} models",
            expected=f"maps by one model ({usual[:12] or 'unknown'}): others differ at the borders",
            remedy="Map all scenes with one model, or pass --allow-different-models.",
        )


def _different(source: MapSource, first: MapSource, found: str) -> GeolulcError:
    return ParameterError(
        source.path,
        found=found,
        expected=f"the {len(first.classes)} classes of {first.nomenclature} in {first.path}",
        remedy="Map all scenes with one model.",
    )


def mixed(path: Path, found: str) -> GeolulcError:
    """What is said of the first map of another kind."""
    return OutputError(
        path,
        found=found,
        expected="maps of one kind",
        remedy="Make a mosaic of each kind.",
    )


def unusable(path: Path, found: str) -> GeolulcError:
    """What is said of a path that is no map."""
    return OutputError(
        path,
        found=found,
        expected="a map.tif of geolulc map, a folder of them, or a .txt that lists them",
        remedy="Leave it out, or give one of these.",
    )
