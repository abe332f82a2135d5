"""Where a mosaic comes from, as its tags, its page and its STAC Item say it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

from geolulc import __version__
from geolulc.maps.header import PRIOR, MapHeader
from geolulc.maps.tally import MapFigures
from geolulc.mosaics.collection import CollectionFile, write_mosaic_collection
from geolulc.mosaics.grids import MosaicGrid
from geolulc.mosaics.options import MosaicOptions
from geolulc.mosaics.sources import PROBABILITIES, MapSource
from geolulc.outputs.cautions import Caution, inherited_cautions
from geolulc.outputs.story import ItemFacts, Origin, Story, grid_facts, relative_href
from geolulc.outputs.tags import MOSAIC

#: So many names of maps at most stand in the tags of every file; the STAC Item links to all.
_MOST_NAMED: Final = 1000
#: So many names at most stand in a list that people read.
_MOST_LISTED: Final = 20
_IN_WORDS: Final = {
    "probabilities": "all probabilities",
    "top3": "the three most probable classes",
    "confidence": "the class and its probability",
}


@dataclass(frozen=True)
class MosaicStory(Story):
    """The maps of a mosaic and how they were combined.

    Attributes:
        name: of the mosaic.
        sources: the maps.
        grid: the mosaic's cells.
        options: how maps were combined.
        shared: the STAC Collection that the mosaic shares with others; None for its own.
    """

    name: str
    sources: Sequence[MapSource]
    grid: MosaicGrid
    options: MosaicOptions
    shared: CollectionFile | None = None
    mosaic: ClassVar[bool] = True

    @property
    def inherited(self) -> Sequence[Caution]:
        """Cautions on the models of the maps."""
        return inherited_cautions(source.cautions for source in self.sources)

    @property
    def alone(self) -> bool:
        """Whether the mosaic has a STAC Collection of its own."""
        return self.shared is None

    @cached_property
    def header(self) -> MapHeader:
        """The mosaic without its cells: classes in the order of the first map's.

        Thresholds of different models are averaged, as their probabilities are. Of the scene
        classification, those classes are masked that are masked in all maps.
        """
        first = self.sources[0].header
        headers = [source.header for source in self.sources]
        masked = set.intersection(*(set(header.masked_scl) for header in headers))
        return MapHeader(
            grid=self.grid.cells,
            classes=first.classes,
            nomenclature=first.nomenclature,
            exclusive=first.exclusive,
            fractions=first.fractions,
            patch_size=max((h.patch_size for h in headers if h.patch_size), default=None),
            thresholds=_mean_thresholds(first.classes, self._by_model),
            scene=self._scene,
            model=self._model,
            masked_scl=tuple(sorted(masked)),
            frequencies=first.frequencies if len({h.frequencies for h in headers}) == 1 else (),
            min_clear=min(header.min_clear for header in headers),
        )

    @property
    def models(self) -> int:
        """Number of models that made the maps."""
        return len(self._by_model)

    @property
    def times(self) -> tuple[datetime, datetime]:
        """When the first and the last scene were sensed, in UTC."""
        times = [s.time.astimezone(UTC) for s in self.sources]
        return min(times), max(times)

    @property
    def unweighted(self) -> int:
        """Number of maps of cells without valid and clear shares, which weigh 1."""
        return 0 if self._exclusive else sum(not s.has_shares for s in self.sources)

    @property
    def probabilities(self) -> dict[str, int]:
        """Raster → number of maps of pixels whose probabilities are read from it."""
        counts = Counter(source.beside for source in self.sources)
        return {name: counts[name] for name in PROBABILITIES if counts[name]}

    @property
    def digest(self) -> str:
        """SHA-256 of all that the values depend on: maps, grid, options."""
        extent = self.grid.cells.extent
        place = [extent.crs, extent.left, extent.top, extent.width, extent.height]
        text = json.dumps(
            [
                sorted((source.digest, source.has_shares) for source in self.sources),
                [*place, self.grid.cells.cell],
                self.options.combine,
                self.options.least_weight,
            ]
        )
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def made_with(self) -> Mapping[str, Any]:
        """The maps, by a digest of theirs, the grid and the options."""
        extent = self.grid.cells.extent
        maps = json.dumps(sorted((s.digest, s.has_shares) for s in self.sources))
        return {
            "maps": len(self.sources),
            "maps_sha256": hashlib.sha256(maps.encode()).hexdigest(),
            "crs": extent.crs,
            "cell_size": self.grid.cells.cell,
            "extent": list(extent.bounds),
            "combine": self.options.combine,
            "min_weight": self.options.least_weight,
        }

    @property
    def _exclusive(self) -> bool:
        return self.sources[0].header.exclusive

    @cached_property
    def _by_model(self) -> dict[str, MapHeader]:
        """A map of each model, by the model's SHA-256."""
        return dict(sorted({s.model: s.header for s in self.sources}.items()))

    @property
    def _copied(self) -> str:
        return "copied" if self.grid.copied else "resampled"

    @property
    def _scene(self) -> dict[str, str]:
        scenes = [source.header.scene for source in self.sources]
        days = " to ".join(dict.fromkeys(f"{time:%Y-%m-%d}" for time in self.times))
        number = f"{len(scenes)} map{'s' if len(scenes) > 1 else ''}"
        first, last = map(_iso, self.times)
        return {
            "name": f"{self.name}: {number}, {days}",
            "start_time": first,
            "end_time": last,
            "platform": ", ".join(sorted({s.get("platform", "unknown") for s in scenes})),
            "tile": _listed(sorted({s.get("tile", "unknown") for s in scenes})),
        }

    @property
    def _model(self) -> dict[str, str]:
        models = self._by_model
        if len(models) == 1:
            model = self.sources[0].header.model
            return {key: value for key, value in model.items() if key != PRIOR}  # of one scene
        names = {header.model.get("name", "unknown") for header in models.values()}
        return {"name": _listed(sorted(names)), "sha256": _listed(list(models))}

    def tags(self, figures: MapFigures) -> Mapping[str, str]:
        """How the mosaic was made: MOSAIC_…"""
        sources = self.sources
        names = [s.header.scene.get("name", s.path.stem) for s in sources[:_MOST_NAMED]]
        tags = {
            MOSAIC: str(len(sources)),
            "MOSAIC_COMBINE": self.options.combine,
            "MOSAIC_MODELS": str(self.models),
            "MOSAIC_SCENES": json.dumps(names, ensure_ascii=False),
            "MOSAIC_DIGEST": self.digest,
        }
        if self._exclusive:  # of pixels, those that are not clear or not valid have no data
            return tags | {
                "MOSAIC_PIXELS": self._copied,
                "MOSAIC_PROBABILITIES": json.dumps(self.probabilities),
                "MOSAIC_UNKNOWN_SHARE": f"{figures.unknown:.6g}",
                "MOSAIC_MASKED_SCL": json.dumps(sorted({s.header.masked_scl for s in sources})),
            }
        return tags | {
            "MOSAIC_CELLS": self._copied,
            "MOSAIC_LEAST_WEIGHT": f"{self.options.least_weight:g}",
            "MOSAIC_UNWEIGHTED_MAPS": str(self.unweighted),
        }

    def facts(self, header: MapHeader, figures: MapFigures) -> Mapping[str, object]:
        """The head of the report: maps, their weights or probabilities, times, and the grid."""
        first, last = map(_iso, self.times)
        if self._exclusive:
            known = "; ".join(f"{_IN_WORDS[k]} of {n} maps" for k, n in self.probabilities.items())
            said = {"Probabilities": f"{known}; {figures.unknown:.1%} of them unknown, taken as 0"}
        else:
            without = f"; {self.unweighted} maps without them weigh 1" if self.unweighted else ""
            said = {"Weights": f"valid × clear share{without}"}
        return {
            "Maps": f"{len(self.sources)}, combined by {self.options.combine}",
            **said,
            "Sensed": f"{first} to {last}",
            **grid_facts(header, figures, f", {self._copied}"),
        }

    def item(
        self, header: MapHeader, figures: MapFigures, targets: Mapping[str, Path], folder: Path
    ) -> ItemFacts:
        """The interval from the first to the last scene, and links to all maps."""
        how = self.options.combine
        number = len(self.sources)
        collection = self._collection(targets)
        return ItemFacts(
            identifier=self.name,
            title=f"Land cover: {self.name}",
            description=f"{number} maps combined by {how} in {header.unit.many} of "
            f"{header.grid.cell} m; {figures.area_ha:.0f} ha mapped.",
            times=self.times,
            lineage=f"{number} maps → geolulc {__version__}, {how}; "
            f"model {header.model.get('name', 'unknown')} "
            f"(sha256 {header.model.get('sha256', 'unknown')})",
            origins=[_origin(source, folder) for source in self.sources],
            collection=None if collection is None else (collection.identifier, collection.name),
        )

    def write_others(self, targets: Mapping[str, Path]) -> None:
        """Write the mosaic's own STAC Collection, where it is among ``targets``."""
        collection = self._collection(targets)
        if "stac.collection" in targets and collection is not None:
            path, item = targets["stac.collection"], targets["stac"]
            write_mosaic_collection(path, collection, self.header, item)

    def _collection(self, targets: Mapping[str, Path]) -> CollectionFile | None:
        """The STAC Collection that the mosaic belongs to."""
        if "stac.collection" in targets:
            return CollectionFile.of_mosaic(targets["stac.collection"])
        return self.shared


def _mean_thresholds(
    classes: tuple[str, ...], models: Mapping[str, MapHeader]
) -> tuple[float, ...]:
    """The mean over ``models``, of which each has a map; those without thresholds are left out."""
    known = [
        dict(zip(header.classes, header.thresholds, strict=True))
        for header in models.values()
        if header.thresholds
    ]
    return tuple(sum(one[c] for one in known) / len(known) for c in classes) if known else ()


def _origin(source: MapSource, folder: Path) -> Origin:
    """A map that the Item derives from: its Item, or else its map.tif."""
    item = source.path.with_suffix(".json")
    described = item.is_file()
    return Origin(
        relative_href(item if described else source.path, folder),
        source.header.scene.get("name", source.path.stem),
        "application/geo+json" if described else "image/tiff",
    )


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _MOST_LISTED:
        return ", ".join(names)
    return f"{', '.join(names[:_MOST_LISTED])} … ({len(names)})"


def _iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
