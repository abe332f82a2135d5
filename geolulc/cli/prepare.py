"""``geolulc prepare``: BigEarthNet archives, or scenes without labels → a store."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from geolulc.cli.options import OUTPUT, PATH, names, shared_options, take_fields
from geolulc.cli.results import print_result, progress_bar, say


@click.command("prepare")
@click.argument("archives", metavar="ARCHIVE…", type=PATH, nargs=-1, required=True)
@click.argument("store", type=OUTPUT)
@click.option(
    "--unlabelled",
    is_flag=True,
    help="Take scenes and GeoTIFFs of all bands too, as patches without labels; all of one level.",
)
@click.option(
    "--splits",
    type=PATH,
    metavar="DIR|blocks",
    help="Splits of version 1: a folder with train.csv, val.csv and test.csv; or blocks: "
    "squares of 24 km go to one split each.",
)
@click.option(
    "--snow-list",
    type=PATH,
    metavar="FILE",
    help="List of the patches of version 1 with seasonal snow.",
)
@click.option(
    "--cloud-list",
    type=PATH,
    metavar="FILE",
    help="List of the patches of version 1 with clouds or shadows.",
)
@click.option(
    "--metadata",
    type=PATH,
    metavar="PATH",
    help="The metadata.parquet of version 2, or its folder.",
)
@click.option("--keep-snow", is_flag=True, help="Keep patches with seasonal snow.")
@click.option("--keep-cloud", is_flag=True, help="Keep patches with cloud or cloud shadow.")
@click.option(
    "--nomenclature",
    "nomenclature_id",
    type=click.Choice(["ben19", "clc43"]),
    default="ben19",
    show_default=True,
    help="Classes of the labels: BigEarthNet's 19, or CORINE's 43.",
)
@click.option("--countries", type=names, metavar="A,B", help="Only these countries.")
@click.option(
    "--seasons", type=names, metavar="A,B", help="Only these seasons: Winter,Spring,Summer,Fall."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Draw N patches at random.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of --limit.")
@click.option(
    "--reference-maps",
    is_flag=True,
    help="Store the CORINE maps of version 2 too, to train models of pixels with.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes that read.  [default: all cores]",
)
@click.option("--skip-broken", is_flag=True, help="Leave broken patches out and list them.")
@shared_options("overwrite", "quiet", "json")
def command(
    archives: tuple[Path, ...],
    store: Path,
    workers: int | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Write one or more BigEarthNet archives (v1 or v2) into STORE.

    With --unlabelled also scenes and stacks of GeoTIFFs, to learn from a teacher (train --teacher).

    A run that was killed goes on where it stopped when the same command is given again.

    \b
    Examples:
        geolulc prepare BigEarthNet-v1.0/ ben.store --splits splits/
        geolulc prepare BigEarthNet-v2/ ben.store --reference-maps
        geolulc prepare --unlabelled S2B_….SAFE stack.tif own.store
    """
    from geolulc.datasets import BrokenPatchesError, Lists, Selection, open_store, prepare_store
    from geolulc.process import available_cores

    with ExitStack() as bars:
        listing = None
        if any(archive.is_file() for archive in archives):
            listing = bars.enter_context(progress_bar("list", "MB", quiet=quiet))
        progress = bars.enter_context(progress_bar("prepare", "patches", quiet=quiet))
        try:
            manifest = prepare_store(
                archives,
                store,
                lists=take_fields(Lists, options),
                selection=take_fields(Selection, options),
                workers=workers or available_cores(),
                **options,
                listing=listing and (lambda done, all_: listing(done // 10**6, all_ // 10**6)),
                progress=progress,
            )
        except BrokenPatchesError as error:
            for broken in error.broken if len(error.broken) > 1 else ():
                text = f"{broken.subject}: found {broken.found}; expected {broken.expected}"
                say(f"broken: {text}", err=True)
            raise
    touching = dict(open_store(store).touching_training)
    text = "\n".join([_summary(store, manifest), *_leaks(manifest, touching)])
    print_result({**manifest, "touching_training_ground": touching}, text, as_json=as_json)


def _leaks(manifest: dict[str, Any], touching: dict[str, int]) -> list[str]:
    """How many patches that are not trained on are neighbours of such that are."""
    counts = manifest["patches"]["by_split"]
    found = [
        f"{touching[name]} of {counts[name]} {name} patches ({touching[name] / counts[name]:.1%})"
        for name in touching
        if touching[name]
    ]
    if not found:
        return []
    return [
        f"  touch the ground of training patches: {', '.join(found)};",
        "    figures on them say more of the training ground than of others (--splits blocks)",
    ]


def _summary(store: Path, manifest: dict[str, Any]) -> str:
    patches = manifest["patches"]
    splits = ", ".join(f"{name} {count}" for name, count in patches["by_split"].items())
    lines = [f"{store}: {patches['total']} patches ({splits})"]
    for archive in manifest["archives"]:
        origin = ", ".join(f"{what} from {where}" for what, where in archive["origin"].items())
        lines.append(f"  {archive['dataset']} ({archive['name']}): {origin}")
        if absent := archive["listed_but_absent"]:
            named = (f"{what} {a['patches']:,} ({a['example']})" for what, a in absent.items())
            lines.append(f"  listed but not in the archive, with an example: {', '.join(named)}")
        missing = [w for w in ("snow", "cloud") if w not in archive["origin"]]
        if archive["dataset"] == "bigearthnet-v1" and missing:
            lines.append(f"  no {' and '.join(missing)} list: such patches are not recognised")
    if manifest["left_out"]:
        counts = ", ".join(f"{why} {count}" for why, count in manifest["left_out"].items())
        lines.append(f"  left out: {counts}")
    if patches["without_class"]:
        lines.append(f"  kept without a class: {patches['without_class']}")
    if manifest["broken"]:
        lines.append(f"  broken, left out: {len(manifest['broken'])} (manifest.json names them)")
    if patches["shared_ground"]["different_splits"]:
        count = patches["shared_ground"]["different_splits"]
        lines.append(f"  v2 patches whose v1 twin is in another split: {count}")
    return "\n".join(lines)
