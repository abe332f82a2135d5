"""Items of a STAC API by place and time, through pystac-client on the bounded client.

https://api.stacspec.org/v1.0.0/item-search
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from geolulc import __version__
from geolulc.errors import ParameterError, RemoteError
from geolulc.remote.client import Client
from geolulc.staging import staged


def search_items(
    client: Client,
    url: str,
    collection: str,
    area: BaseGeometry,
    dates: tuple[date, date],
    *,
    max_cloud: float = 100.0,
    most: int = 1000,
) -> dict[str, Any]:
    """An ItemCollection of the Items that meet ``area``, as ``geolulc map`` reads it.

    Args:
        client: asks the API.
        url: of its landing page.
        collection: its id.
        area: in degrees.
        dates: first and last day, UTC.
        max_cloud: percent of ``eo:cloud_cover`` at most; Items that do not say theirs are kept.
        most: Items at most.

    Raises:
        RemoteError: the API does not answer, or not as STAC says.
        ParameterError: more than ``most`` Items, or pystac-client is not installed.
    """
    try:
        from pystac.errors import STACError
        from pystac_client import Client as Catalogue
        from pystac_client.errors import ClientTypeError
        from pystac_client.exceptions import APIError
        from pystac_client.stac_api_io import StacApiIO
    except ImportError:
        raise ParameterError(
            "--stac", found="no package pystac-client", expected="it",
            remedy="pip install 'geolulc[stac]'",
        ) from None  # fmt: skip

    class Bounded(StacApiIO):  # type: ignore[misc]
        """What pystac-client asks, asked by ``client``."""

        def request(
            self,
            href: str,
            method: str | None = None,
            headers: Mapping[str, str] | None = None,
            parameters: Mapping[str, Any] | None = None,
        ) -> str:
            """The text of an answer."""
            posted = method == "POST"
            sent: dict[str, Any] = (
                {"json" if posted else "params": dict(parameters)} if parameters else {}
            )
            return client.read(href, headers=headers, **sent).decode()

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what an API lacks
            catalogue = Catalogue.open(url, stac_io=Bounded())
            found = catalogue.search(
                collections=[collection],
                intersects=shapely.geometry.mapping(area),
                datetime=[f"{dates[0]}T00:00:00Z", f"{dates[1]}T23:59:59Z"],
                limit=100,
            )
            items = []
            for item in found.items_as_dicts():
                cover = item["properties"].get("eo:cloud_cover")
                if not isinstance(cover, int | float) or cover <= max_cloud:
                    items.append({**item, "assets": _on_servers(item.get("assets", {}))})
                if len(items) > most:
                    raise ParameterError(
                        "search", found=f"more than {most:,} Items", expected="a smaller number",
                        remedy="Narrow area or dates, or raise --limit.",
                    )  # fmt: skip
    except (
        *(APIError, ClientTypeError, STACError, NotImplementedError, UnicodeDecodeError),
        *(KeyError, TypeError, ValueError, AttributeError, RecursionError),
    ) as error:
        raise RemoteError(
            url,
            found=f"no STAC API that can be searched ({type(error).__name__}: {error})",
            expected="the landing page of one",
            remedy="Check the address; the page of one collection is not enough.",
        ) from None
    return {
        "type": "FeatureCollection",
        "made_by": f"geolulc {__version__}",
        "features": items,
    }


def _on_servers(assets: Mapping[str, Any]) -> dict[str, Any]:
    """The assets that lie on servers: an answer of a stranger names no file of ours."""
    return {
        name: asset
        for name, asset in assets.items()
        if str(asset.get("href")).lower().startswith(("https://", "http://", "s3://"))
    }


@contextmanager
def found_items(*search: Any, **limits: Any) -> Iterator[Path]:
    """What ``search_items`` finds, as a temporary file that ``geolulc map`` reads.

    Raises:
        ParameterError: it finds nothing; and what ``search_items`` raises.
    """
    items = search_items(*search, **limits)
    if not items["features"]:
        raise ParameterError(
            "search",
            found="no Item",
            expected="at least one",
            remedy="Widen area or dates, or raise --max-cloud.",
        )
    with tempfile.TemporaryDirectory(prefix="geolulc-") as folder:
        path = Path(folder) / "items.json"
        save_items(items, path)
        yield path


def save_items(items: Mapping[str, Any], out: Path, *, overwrite: int = 0) -> None:
    """Write an ItemCollection, whole or not at all; ``OutputError`` where it cannot be."""
    with staged([out], overwrite=overwrite) as (partial,):
        partial.write_text(json.dumps(items, indent=1) + "\n", encoding="utf-8")
