"""Models that geolulc knows by name: shipped, fetched, and published on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from geolulc.errors import CheckpointError
from geolulc.nets.checkpoint import fetch_dynamic_world, read_settings
from geolulc.nets.config import DYNAMIC_WORLD
from geolulc.nets.hub import cached_file, fetch_snapshot
from geolulc.nets.published_dynamic_world import fetched_dynamic_world
from geolulc.nets.published_encoders import ENCODERS, PREFIX, fetch_encoder, read_table
from geolulc.nets.shipped import shipped_models
from geolulc.nets.snapshots import WEIGHTS_NAME

_CARD: Final = "README.md"
_SEE_CARD: Final = "see its card"

#: Name → published model of Sentinel-2 bands alone: facts from its listing and card; "" where a
#: figure could not be had.
PUBLISHED: Final = MappingProxyType({r["name"]: r for r in read_table("published_models.csv")})


def list_models() -> list[dict[str, Any]]:
    """Shipped, published and encoder models, JSON-able: name, kind, where, size, scores, source."""
    rows = []
    for name, file in shipped_models().items():
        settings = read_settings(file)
        row = _row(name, "shipped", file, settings.config.backbone, task=settings.config.task)
        row |= {"bands": sum(map(len, settings.bands.values())), "classes": len(settings.classes)}
        row |= {"megabytes": round(file.stat().st_size / 1e6, 1), "source": f"models/{name}.md"}
        rows.append(row | {"licence": str(settings.provenance.get("licence", _SEE_CARD))})
    fetched = fetched_dynamic_world()
    row = _row(
        DYNAMIC_WORLD, "published", fetched if fetched.is_file() else None, "its own", task="pixel"
    )
    row |= {"bands": 9, "classes": 9, "megabytes": 0.9, "licence": "Apache-2.0"}
    rows.append(row | {"source": "https://github.com/google/dynamicworld"})
    for name, model in PUBLISHED.items():
        cached = cached_file(name, WEIGHTS_NAME)
        row = _row(name, "published", cached, model["backbone"], task="patch")
        row |= {"bands": 10, "classes": 19, "megabytes": float(model["megabytes"] or 0) or None}
        rows.append(row | {"scores": model["scores"] or _SEE_CARD, "source": model["source"]})
    for encoder in ENCODERS.values():
        cached = cached_file(encoder.repository, encoder.file)
        row = _row(PREFIX + encoder.name, "encoder for --pretrained", cached, encoder.backbone)
        row |= {"bands": len(encoder.convention.bands), "scores": "", "source": encoder.paper}
        rows.append(row)
    return rows


def _row(name: str, kind: str, file: Path | None, backbone: str, **task: str) -> dict[str, Any]:
    """The row of a model, every column in its order; unknown ones have a default."""
    return {
        "name": name,
        "kind": kind,
        **task,
        "where": str(file or "hub"),
        "backbone": backbone,
        "bands": 0,
        "classes": 0,
        "megabytes": None,
        "licence": _SEE_CARD,
        "scores": _SEE_CARD,
        "source": "",
    }


def show_model(name: str) -> str:
    """The card of a model, Markdown: a shipped one's, a fetched one's, or what is known of it.

    Raises:
        CheckpointError: no model of that name is known.
    """
    shipped = shipped_models().get(name)
    if shipped is not None and (card := shipped.with_suffix(".md")).is_file():
        return card.read_text(encoding="utf-8")
    if name in PUBLISHED and (cached := cached_file(name, _CARD)) is not None:
        return cached.read_text(encoding="utf-8", errors="replace")
    row = next((r for r in list_models() if r["name"] == name), None)
    if row is None:
        raise _unknown(name)
    facts = "\n".join(f"- {key}: {value}" for key, value in row.items() if value not in ("", None))
    remedy = "" if row["kind"] == "shipped" else f"\n\n`geolulc models fetch {name}` downloads it."
    return f"# {name}\n\n{facts}{remedy}\n"


def fetch_model(name: str) -> Path:
    """Download a published model or encoder into the hub's cache, checksum verified.

    Returns:
        The snapshot folder of a model, the file of an encoder; a shipped model's own file.

    Raises:
        CheckpointError: no such model, or it cannot be fetched.
    """
    if name in shipped_models():
        return shipped_models()[name]
    if name.startswith(PREFIX):
        return fetch_encoder(name.removeprefix(PREFIX))
    if name == DYNAMIC_WORLD:
        return fetch_dynamic_world()
    if name.count("/") != 1:
        raise _unknown(name)
    return fetch_snapshot(name, verify=True)


def _unknown(name: str) -> CheckpointError:
    return CheckpointError(
        f"model {name!r}",
        found="no model of that name is known",
        expected="a name that geolulc models lists, or owner/name on the hub",
        remedy="Correct the name.",
    )
