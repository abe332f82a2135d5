"""``geolulc info``: what a store, a model, a Sentinel-2 product or a map is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from geolulc.cli.options import PATH, coarser_option, json_option
from geolulc.cli.results import print_result
from geolulc.errors import GeolulcError
from geolulc.safe_texts import one_line

if TYPE_CHECKING:
    from geolulc.nomenclature import Nomenclature

#: Keys of an estimate of ``geolulc assess``.
_ESTIMATE: Final = {"estimate", "standard_error", "ci95"}


@click.command("info")
@click.argument("path", type=PATH)
@click.option("--verify", is_flag=True, help="Check the checksums of a store or product.")
@coarser_option("Add up a map's areas by the classes")
@json_option
def command(path: Path, verify: bool, coarser: Nomenclature | None, as_json: bool) -> None:
    """Say what PATH is: a store, a model, a Sentinel-2 L2A product or a map.

    Figures come from the file itself; nothing is decoded that the answer does not need.

    \b
    Examples:
        geolulc info map.tif
        geolulc info S2B_MSIL2A_….SAFE --verify
    """
    from geolulc.domain import KEY, read_domain

    kind, description = describe(path, verify=verify, coarser=coarser)
    if coarser is not None and kind != "map":
        raise click.UsageError(f"--as adds up the areas of a map; {path} is a {kind}")
    description.pop("kind", None)
    shown = dict(description)
    if KEY in shown:
        shown[KEY] = read_domain(shown[KEY]).summary
    text = "\n".join([f"{path}: {kind}", *lines(shown)])
    print_result({"kind": kind, **description}, text, as_json=as_json)


def describe(
    path: Path, *, verify: bool = False, coarser: Nomenclature | None = None
) -> tuple[str, dict[str, Any]]:
    """(kind, description) of ``path``, recognised by its name and by what lies in it.

    Raises:
        GeolulcError: nothing of geolulc's is there, or it is broken.
    """
    name = path.name.lower()
    if (path / "manifest.json").is_file():
        from geolulc.datasets import describe_store

        return "store", describe_store(path, verify=verify)
    if name.endswith((".tif", ".tiff")):
        from geolulc.analysis import describe_map

        return "map", describe_map(path, coarser)
    if name.endswith(".safetensors") or (path / "model.safetensors").is_file():
        from geolulc.nets import describe_model

        return "model", describe_model(path)
    from geolulc.products import find_door

    if (door := find_door(path)) is not None:
        return door.kind, door.describe(path, verify=verify)
    if not path.exists() or (path / "saved_model.pb").is_file():
        from geolulc.nets import describe_model

        try:
            return "model", describe_model(path)
        except GeolulcError:
            raise _unknown(path, "nothing there") from None
    raise _unknown(path, "a folder" if path.is_dir() else "a file of another kind")


def _unknown(path: Path, found: str) -> GeolulcError:
    return GeolulcError(
        path,
        found=found,
        expected="a store, a model (.safetensors or its run folder), a .SAFE product or a map.tif",
        remedy="Give the path of one of these.",
    )


def lines(description: Mapping[str, Any], indent: int = 2) -> list[str]:
    """A nested description as indented ``key: value`` lines."""
    out = []
    pad = " " * indent
    for key, value in description.items():
        label = one_line(key).replace("_", " ")
        if isinstance(value, Mapping) and value.keys() >= _ESTIMATE:
            out.append(f"{pad}{label}: {_interval(value)}")
        elif isinstance(value, Mapping) and value:
            out.append(f"{pad}{label}:")
            out.extend(lines(value, indent + 2))
        elif isinstance(value, (list, tuple)) and any(isinstance(v, Mapping) for v in value):
            out.append(f"{pad}{label}:")
            for item in value:
                first, *rest = lines(item, indent + 4)
                out.append(f"{pad}  - {first.strip()}")
                out.extend(rest)
        elif isinstance(value, (list, tuple)) and any(str(v).endswith(".") for v in value):
            out.append(f"{pad}{label}:")  # sentences
            out.extend(f"{pad}  - {v}" for v in value)
        else:
            if isinstance(value, (list, tuple)):
                value = ", ".join(str(v) for v in value) or "none"
            out.append(f"{pad}{label}: {_plain(value)}")
    return out


def _interval(estimate: Mapping[str, Any]) -> str:
    """An estimate with its 95 % interval."""
    value, half = estimate["estimate"], estimate["ci95"]
    return _plain(value) if half is None else f"{_plain(value)} ± {_plain(half)}"


def _plain(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return one_line(value, longest=None) if value != {} else "none"
