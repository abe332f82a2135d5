"""``geolulc map``: scenes → land-cover maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from geolulc.cli.options import (
    PATH,
    PATH_OR_TEXT,
    allow_internal_option,
    band_order_option,
    mask_scl_option,
    out_option,
    period_options,
    shared_options,
    stac_options,
    threads_option,
    verify_option,
    whole_numbers,
)
from geolulc.cli.output_options import OutputOptions, output_options
from geolulc.cli.results import exit_with_errors, print_cautions, print_result, progress_bar
from geolulc.safe_texts import without_secrets


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter("a number, or auto") from None


def _codes(text: str) -> tuple[int, ...]:
    return () if text.strip() == "none" else whole_numbers(text.replace(" ", ","))


@click.command("map")
@click.argument("scenes", type=PATH, nargs=-1, metavar="SCENE…")
@out_option(
    "The map.tif to write; of several scenes, a folder. The other files are named after it."
)
@click.option(
    "--model",
    "-m",
    "models",
    type=PATH,
    multiple=True,
    help="Model to map with: a checkpoint, the folder of a training run, or a name that “geolulc "
    "models” lists. Given several times: the mean of them.  [default: the shipped model]",
)
@band_order_option
@click.option(
    "--stride",
    type=int,
    metavar="METRES",
    help="Side of a cell, a multiple of 60; as large as a patch (1200) without it. With an odd "
    "multiple, such as 300, patches are centred 30 m to the left of and above their cells, on the "
    "grid of 60 m.",
)
@click.option(
    "--resolution",
    type=int,
    metavar="METRES",
    help="Side of a pixel. 10, 20 or 60: a class for each pixel, by a model of pixels; without "
    "--model, by the one that is installed with geolulc. 320, 160 or 80: what a model of patches "
    "finds, placed inside its patches by its own evidence.  "
    "[default: a cell for each patch, or 10]",
)
@click.option(
    "--min-valid",
    type=float,
    default=0.5,
    show_default=True,
    help="Cells with data in a smaller share of their pixels get no class.",
)
@click.option(
    "--min-clear",
    type=float,
    default=0.5,
    show_default=True,
    help="Cells with a smaller share of cloudless pixels get no class. 0 maps clouds as if they "
    "were land.",
)
@click.option(
    "--allow-empty",
    is_flag=True,
    help="Write a map in which no cell has data, too, in place of an error.",
)
@click.option(
    "--aoi",
    type=PATH_OR_TEXT,
    metavar="FILE|W,S,E,N",
    help="Map only what this touches: a vector file (all its layers of polygons), or a box in "
    "degrees, which may cross the 180th meridian.",
)
@mask_scl_option(
    "Codes of the scene classification that count as not clear; none: do not read it.", _codes
)
@click.option(
    "--overlap",
    type=click.Choice(["exact", "shared"]),
    default="exact",
    show_default=True,
    help="exact computes each of the overlapping patches by itself; shared computes them together, "
    "which is faster and gives slightly other results.",
)
@click.option(
    "--runtime",
    type=click.Choice(["torch", "onnx"]),
    default="torch",
    show_default=True,
    help="Library that computes the network. onnx is faster on a CPU; it comes with the extra "
    "geolulc[onnx].",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "fp16", "bf16"]),
    default="auto",
    show_default=True,
    help="Number format that the network computes in. auto takes fp16, which is faster, on NVIDIA "
    "GPUs, and float32 elsewhere.",
)
@verify_option
@click.option(
    "--offset",
    type=int,
    metavar="DN",
    help="Radiometric offset of STAC Items that do not tell theirs: -1000, or 0 for harmonised "
    "images.",
)
@allow_internal_option
@stac_options
@period_options(required=False)
@click.option(
    "--tta",
    is_flag=True,
    help="Average over the flipped and turned scene: eight times the work of the network.",
)
@click.option(
    "--geographic-prior/--no-geographic-prior",
    default=True,
    show_default=True,
    help="Shift probabilities to how often labels near each patch have each class, with models "
    "that know such labels.",
)
@click.option(
    "--batch-size",
    type=_batch_size,
    default="auto",
    show_default=True,
    metavar="N|auto",
    help="Patches that the network takes at a time; auto suits the device.",
)
@threads_option
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Worker processes on this machine, each with a scene at a time; at most two a core.  "
    "[default: no others]",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="A running Dask cluster, tcp://HOST:8786: its workers map, on a shared file system.",
)
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="How often a scene is begun again when its worker was lost.",
)
@shared_options("device")
@output_options
@shared_options("overwrite", "quiet", "json")
def command(
    scenes: tuple[Path, ...],
    out: Path,
    models: tuple[Path, ...],
    band_order: str | None,
    output: OutputOptions,
    overwrite: int,
    quiet: bool,
    as_json: bool,
    workers: int | None,
    scheduler: str | None,
    retries: int,
    stac: str | None,
    collection: str | None,
    dates: str | None,
    max_cloud: float,
    **choices: Any,
) -> None:
    """Map Sentinel-2 scenes to probabilities of land cover.

    SCENE is a product as Copernicus delivers it (a .SAFE folder or its zip), a product in EOPF
    Zarr or its URL, or a STAC Item (a file, a folder that holds one, or a URL) of images of bands
    or of EOPF Zarr. Of what lies on servers only the part that is needed is read. A .txt lists
    scenes, a path a line; a .json or .geojson is a STAC Item or ItemCollection.

    Of several scenes, those that are mapped already are skipped, and one that fails does not
    keep the others from being mapped.

    \b
    Examples:
        geolulc map S2B_MSIL2A_….SAFE --out map.tif
        geolulc map S2B_MSIL2A_….zip --out fine.tif --stride 240 --aoi area.gpkg
        geolulc map S2A_MSIL1C_….SAFE --out map.tif --model dynamicworld
        geolulc map S2B_MSIL2A_….zarr --out map.tif
        geolulc map https://earth-search.…/items/S2A_33TWN_… --out map.tif --aoi 15.1,46.2,15.3,46.3
        geolulc map scenes/*.SAFE --out maps/ --workers 2
        geolulc map --stac https://earth-search.aws.element84.com/v1 \\
            --collection sentinel-2-c1-l2a --aoi 15.1,46.2,15.3,46.3 \\
            --dates 2024-06-01/2024-06-30 --max-cloud 10 --out maps/
    """
    from geolulc.analysis import read_cautions
    from geolulc.mapping import MapOptions, map_scenes
    from geolulc.nets import describe_model, load_checkpoint, shipped_model
    from geolulc.products import list_products

    if workers is not None and scheduler is not None:
        raise click.UsageError("--workers starts a cluster, --scheduler uses one: give one of them")
    options = MapOptions(**choices)  # said at once, before libraries are loaded
    if (stac is None) == (not scenes) or (stac is None and (collection or dates)):
        raise click.UsageError("Give SCENE…, or --stac with --collection, --aoi and --dates")
    if stac is not None:
        scenes = (_find(stac, collection, options.aoi, dates, max_cloud, options.allow_internal),)
    scenes = tuple(list_products(scenes))

    paths = models or (shipped_model(options.resolution),)
    writing: dict[str, Any] = {
        "output": output,
        "overwrite": overwrite,
        "description": describe_model(paths[0], band_order=band_order) if len(paths) == 1 else None,
    }
    if workers is not None or scheduler is not None:
        from geolulc.cli.map_on_cluster import map_on_cluster

        results = map_on_cluster(
            scenes, out, paths, options,
            band_order=band_order, workers=workers, scheduler=scheduler, retries=retries,
            quiet=quiet, **writing,
        )  # fmt: skip
    else:
        results = map_scenes(
            scenes,
            out,
            [load_checkpoint(path, band_order=band_order) for path in paths],
            options,
            progress=lambda name: progress_bar(name, "windows", quiet=quiet),
            **writing,
        )
    lines = [
        "\n  ".join([_said(r), *map(str, r.files.values())]) for r in results if r.error is None
    ]
    told = [read_cautions(result.files.values()) for result in results]
    print_cautions([cautions for cautions, r in zip(told, results, strict=True) if not r.error])
    described = [_json(result, found) for result, found in zip(results, told, strict=True)]
    print_result(described, "\n".join(lines), as_json=as_json)
    exit_with_errors([result.error for result in results], "scenes")


def _find(
    stac: str,
    collection: str | None,
    aoi: Path | str | None,
    dates: str | None,
    max_cloud: float,
    internal: bool,
) -> Path:
    """The Items that a STAC API finds, as a file that is there until the command ends."""
    if collection is None or aoi is None or dates is None:
        raise click.UsageError("--stac takes --collection, --aoi and --dates")
    from geolulc.polygons.area import area_in_degrees
    from geolulc.remote.client import Client
    from geolulc.remote.copernicus import parse_dates
    from geolulc.remote.stac import found_items

    days, area = parse_dates(dates), area_in_degrees(aoi)
    context = click.get_current_context()
    client = context.with_resource(Client(allow_internal=internal))
    return context.with_resource(
        found_items(client, stac, collection, area, days, max_cloud=max_cloud)
    )


def _json(result: Any, cautions: Sequence[Any]) -> dict[str, Any]:
    return {
        "scene": without_secrets(result.scene),
        "skipped": result.skipped,
        "error": None if result.error is None else str(result.error),
        "cautions": [caution.text for caution in cautions],
        **({"bytes_received": result.received} if result.received else {}),
        "files": {name: str(path) for name, path in result.files.items()},
    }


def _said(result: Any) -> str:
    received = f", {result.received / 1e6:,.1f} MB received" if result.received else ""
    return without_secrets(f"{result.scene}: {'already ' * result.skipped}mapped{received}")
