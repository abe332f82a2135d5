"""The origin of a map, for its tags, its page and its STAC Item.

``write_map`` writes a map of one scene and a mosaic of many maps alike. The origin of each is a
``Story``: ``SceneStory`` here, ``MosaicStory`` in ``geolulc.mosaics``. Both take the words for
cells and pixels from ``MapHeader.unit``.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geolulc import __version__
from geolulc.delivery import place_of
from geolulc.errors import OutputError
from geolulc.maps.header import MapHeader
from geolulc.maps.tally import MapFigures
from geolulc.outputs.cautions import Caution

#: A true-colour image, uint8 (rows, columns, 3), and its pixel → projected transform.
Backdrop = tuple[NDArray[np.uint8], Affine]
_GEOJSON = "application/geo+json"


@dataclass(frozen=True)
class Origin:
    """A file that a STAC Item derives from: a link of the Item.

    Attributes:
        href: where it is, relative to the Item.
        title: its name.
        media_type: of the file, where it is known.
        fields: further fields of the link.
    """

    href: str
    title: str | None = None
    media_type: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ItemFacts:
    """The part of a map's STAC Item that depends on the origin of the map.

    Attributes:
        identifier: of the Item.
        title, description: for people.
        times: first and last sensing time; one time for a scene.
        lineage: how the map was made, in words.
        origins: the files that it derives from.
        properties: further properties of the Item.
        collection: identifier and file name of the Collection beside the Item, if it has one.
    """

    identifier: str
    title: str
    description: str
    times: tuple[datetime, ...]
    lineage: str
    origins: Sequence[Origin] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)
    collection: tuple[str, str] | None = None


class Story(ABC):
    """The origin of a map.

    Attributes:
        mosaic: whether the map is a mosaic, which has some outputs of its own.
        model: the description by ``geolulc.nets.describe_model``; None if the model is not known.
        backdrop: a true-colour image for picture and report: uint8 (rows, columns, 3) and its
            pixel → projected transform.
    """

    mosaic: ClassVar[bool] = False
    model: Mapping[str, Any] | None = None
    backdrop: Backdrop | None = None

    @property
    def made_with(self) -> Mapping[str, Any]:
        """The inputs and options that shaped the map, for ``run_record``; JSON-able."""
        return {}

    @property
    def inherited(self) -> Sequence[Caution]:
        """Cautions of the maps that a mosaic was made of, which hold for the mosaic too."""
        return ()

    @property
    def alone(self) -> bool:
        """Whether the map has a STAC Collection of its own: the part "stac.collection"."""
        return False

    def tags(self, figures: MapFigures) -> Mapping[str, str]:
        """Further tags, besides the ones of ``tags.map_tags``."""
        return {}

    @abstractmethod
    def facts(self, header: MapHeader, figures: MapFigures) -> Mapping[str, object]:
        """The head of the report: name → value."""

    @abstractmethod
    def item(
        self, header: MapHeader, figures: MapFigures, targets: Mapping[str, Path], folder: Path
    ) -> ItemFacts:
        """The origin for the STAC Item.

        Args:
            header: the map.
            figures: its figures.
            targets: part → file, as it is being written.
            folder: where the files will lie, for relative links.

        Raises:
            OutputError: the sensing time is not known.
        """

    def write_others(self, targets: Mapping[str, Path]) -> None:  # noqa: B027 - most have none
        """Write the parts that only this kind of map has, once the Item is written."""


@dataclass(frozen=True)
class SceneStory(Story):
    """The map of one scene; ``MapHeader.scene`` and ``MapHeader.model`` have the names.

    ``source`` is the product, for STAC's link to it; ``made_by`` the models and options; other
    attributes as in ``Story``.
    """

    model: Mapping[str, Any] | None = None
    source: Path | None = None
    backdrop: Backdrop | None = None
    made_by: Mapping[str, Any] = field(default_factory=dict)

    @property
    def made_with(self) -> Mapping[str, Any]:
        """``made_by``."""
        return self.made_by

    def facts(self, header: MapHeader, figures: MapFigures) -> Mapping[str, object]:
        """Scene, grid, mapped area and classes."""
        scene = header.scene
        seen = f", patches of {header.patch_size} m" if header.patch_size else ""
        return {
            "Sensed": scene.get("sensing_time", "unknown"),
            "Satellite": scene.get("platform", "unknown"),
            "Tile": scene.get("tile", "unknown"),
            "Processing baseline": scene.get("baseline", "unknown"),
            **grid_facts(header, figures, seen),
        }

    def item(
        self, header: MapHeader, figures: MapFigures, targets: Mapping[str, Path], folder: Path
    ) -> ItemFacts:
        """The scene's sensing time, and links to the product and to the model's Item."""
        scene, model, cell = header.scene, header.model, header.grid.cell
        name = scene.get("name", "a scene")
        many = f"{header.unit.values.capitalize()} and {header.unit.first} class"
        what = "Class and probabilities" if header.exclusive else many
        product = f"{scene.get('name', 'unknown')}.SAFE"
        origins = [
            Origin(
                relative_href(self.source, folder) if self.source else product, scene.get("name")
            )
        ]
        if self.model is not None and "stac.model" in targets:
            title = str(self.model.get("name", "model"))
            named = {"mlm:name": model_name(self.model)}
            origins.append(Origin(f"./{targets['stac.model'].name}", title, _GEOJSON, named))
        sha256 = model.get("sha256", "")
        maker = sha256[:8] or model.get("name", "")
        return ItemFacts(
            _word(f"{scene.get('name', 'scene')}_LC{cell}_{maker}", "_-").strip("_-"),
            f"Land cover of {name}",
            f"{what} of land cover in {header.unit.many} of {cell} m; {figures.area_ha:.0f} ha "
            "mapped.",
            (_sensing_time(header, targets["stac"]),),
            f"{name} → geolulc {__version__}, model {model.get('name', 'unknown')} "
            f"(sha256 {sha256 or 'unknown'})",
            origins,
            {"platform": scene["platform"].lower()} if "platform" in scene else {},
        )


def grid_facts(header: MapHeader, figures: MapFigures, remark: str = "") -> dict[str, object]:
    """The facts at the head of a report that every map has; ``remark`` follows its cells."""
    rows, columns = header.grid.shape
    unit = header.unit
    classes = f"{len(header.classes)} ({header.nomenclature.id})"
    return {
        "Coordinate reference system": header.grid.extent.crs,
        unit.many.capitalize(): f"{rows:,} × {columns:,} of {header.grid.cell} m{remark}",
        "Mapped": f"{figures.area_ha:,.0f} ha",
        "Classes": f"{classes}, one a {unit.one}" if header.exclusive else classes,
    }


def model_name(model: Mapping[str, Any]) -> str:
    """A model's name as the MLM extension wants it: a letter first, no blanks."""
    plain = _word(str(model.get("name", "model")), "_.-").strip("-_.")
    return f"geolulc-{plain or 'model'}"


def relative_href(path: Path, folder: Path) -> str:
    """``path`` as seen from ``folder``; its URI where there is no way between them.

    From an object store, where nobody has this machine's folders, its name.
    """
    place = place_of(folder)
    if place is not None and not path.is_relative_to(place.made):
        return f"./{path.name}"
    try:
        href = Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_uri()
    return href if href.startswith(".") else f"./{href}"


def _word(text: str, marks: str) -> str:
    """``text`` with "-" for all but letters, digits and ``marks``."""
    return re.sub(rf"[^A-Za-z0-9{re.escape(marks)}]+", "-", text)


def _sensing_time(header: MapHeader, path: Path) -> datetime:
    """When the scene was sensed; ``path``: the Item that must say it."""
    if header.sensing_time is None:
        raise OutputError(
            path.name,
            found=f"a scene with the sensing time {header.scene.get('sensing_time', '')!r}",
            expected="an ISO 8601 time: a STAC Item must say when",
            remedy="Leave stac out of the outputs, or give the scene's sensing_time.",
        )
    return header.sensing_time
