"""``geolulc label``: scenes and polygons, points or a raster of classes → a store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from geolulc.cli.options import (
    OUTPUT,
    PATH,
    PATH_OR_TEXT,
    layer_option,
    mask_scl_option,
    out_option,
    shared_options,
    take_fields,
    threads_option,
    verify_option,
    whole_numbers,
)
from geolulc.cli.results import print_result, progress_bar, say
from geolulc.grid import PATCH_SIZE

#: A class in fewer places is pointed at: figures of it are chance.
_FEW_PLACES = 10
#: Of fewer labels a step of whole patches holds a field or two.
_FEW_LABELS = 0.1


@click.command("label")
@click.argument("scenes", metavar="SCENE…", type=PATH, nargs=-1, required=True)
@click.option("--polygons", type=PATH, metavar="FILE", help="Vector file of labelled polygons.")
@click.option("--points", type=PATH, metavar="FILE", help="Vector file of labelled points.")
@click.option("--reference", type=PATH, metavar="RASTER", help="Raster of classes.")
@click.option("--field", metavar="COLUMN", help="Column with the names or codes of classes.")
@layer_option("the polygons or points")
@click.option(
    "--classes",
    type=PATH_OR_TEXT,
    metavar="TOML|NAME",
    help="Nomenclature of the labels: a name that “geolulc classes” lists, or a TOML file.  "
    "[default: made from the column, or the raster's own]",
)
@click.option("--skip-unknown", is_flag=True, help="Leave out labels that are not in --classes.")
@click.option(
    "--buffer",
    type=float,
    default=0.0,
    show_default=True,
    metavar="M",
    help="Metres by which points and polygons grow before they label pixels; below 0, polygons "
    "shrink.",
)
@click.option("--all-touched", is_flag=True, help="Label every pixel that a polygon touches.")
@click.option(
    "--overlaps",
    type=click.Choice(["ignore", "first", "last"]),
    default="ignore",
    show_default=True,
    help="What a pixel gets that polygons of several classes cover: no label, or the label of the "
    "first or last of them in the file.",
)
@mask_scl_option(
    "Codes of the scene classification under which no pixel gets a label; '' for none.",
    whole_numbers,
)
@click.option(
    "--split-by",
    default="blocks",
    show_default=True,
    metavar="blocks|tile|scene|COLUMN",
    help="What is dealt to the splits as a whole: blocks of the ground, tiles, scenes, or what has "
    "one value in a column.",
)
@click.option(
    "--block-size",
    type=int,
    default=2400,
    show_default=True,
    metavar="M",
    help="Side of a block in metres.",
)
@click.option(
    "--folds",
    type=int,
    default=5,
    show_default=True,
    metavar="K",
    help="Parts that the ground is dealt to: one to test on, one to validate on, the others to "
    "train on.",
)
@click.option(
    "--least-places",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Leave out classes that are in fewer places.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="The same seed deals the ground in the same way.",
)
@threads_option
@verify_option
@out_option("The store, a folder to make.", type=OUTPUT)
@shared_options("overwrite", "quiet", "json")
def command(
    scenes: tuple[Path, ...],
    polygons: Path | None,
    points: Path | None,
    reference: Path | None,
    field: str | None,
    layer: str | None,
    classes: str | None,
    skip_unknown: bool,
    out: Path,
    overwrite: int,
    quiet: bool,
    as_json: bool,
    **choices: Any,
) -> None:
    """Cut patches from scenes where labels lie, into a store to train on.

    Labels are polygons or points of any vector file, or a raster of classes. Pixels without a
    label are ignored, not background. Splits are by place: blocks of the ground, or a column.

    \b
    Examples:
        geolulc label scenes/*.SAFE --polygons fields.gpkg --field crop --out own.store
        geolulc label scenes/*.SAFE --reference map.tif --classes worldcover --out own.store
    """
    given = [source for source in (polygons, points, reference) if source is not None]
    if len(given) != 1:
        raise click.UsageError("give one of --polygons, --points and --reference")
    if (field is None) != (reference is not None):
        raise click.UsageError("--field names the column of --polygons or --points")

    from contextlib import ExitStack

    from geolulc.labelling import LabelOptions, label_scenes, open_reference, read_features
    from geolulc.nomenclature_files import find_nomenclature
    from geolulc.products import list_products

    options = take_fields(LabelOptions, choices)
    with ExitStack() as stack:
        labels: Any
        if reference is not None:
            labels = stack.enter_context(open_reference(reference, options, class_file=classes))
        else:
            labels = read_features(
                given[0],
                str(field),
                options,
                points=points is not None,
                layer=layer,
                nomenclature=None if classes is None else find_nomenclature(classes),
                skip_unknown=skip_unknown,
            )
        manifest = label_scenes(
            list_products(scenes),
            labels,
            out,
            options,
            overwrite=overwrite,
            progress=lambda name: progress_bar(name, "rows", quiet=quiet),
        )
    found = manifest["labelling"]
    for line in remarks(found):
        say(f"geolulc: {line}", err=True)
    print_result(
        {"patches": manifest["patches"], "labelling": found},
        f"{out}: {manifest['patches']['total']} patches, "
        f"{sum(sum(of_split.values()) for of_split in found['pixels'].values()):,} labelled pixels "
        f"of {len(manifest['classes']['names'])} classes in {found['places']} places "
        f"({found['split_by']}); "
        + ", ".join(f"{split} {sum(n.values()):,}" for split, n in found["pixels"].items()),
        as_json=as_json,
    )


def remarks(labelling: Mapping[str, Any]) -> list[str]:
    """What was left out or is too little, a line each."""
    lines = []
    if labelling.get("repaired_geometries"):
        lines.append(f"{labelling['repaired_geometries']} invalid geometries were repaired")
    lines += [f"{n:,} features {why}" for why, n in labelling.get("features_left_out", {}).items()]
    words = {"contested": "claimed by different classes or folds"}
    lines += [
        f"{n:,} pixels {words.get(why, why)}: no label there"
        for why, n in labelling["pixels_without_label"].items()
    ]
    if missing := labelling.get("missing_bands"):
        lines.append(f"scenes without {', '.join(missing)}: train with --bands of the others")
    if labelling["left_out_classes"]:
        lines.append(f"classes left out: {', '.join(labelling['left_out_classes'])}")
    share = _labelled_share(labelling)
    if share < _FEW_LABELS:
        lines.append(
            f"labels on {share:.1%} of the patches' pixels: learn from parts around them "
            "(few_labels.toml in docs/own-labels.md), not from whole patches"
        )
    for name, count in labelling["places_by_class"].items():
        missing = [split for split, of in labelling["pixels"].items() if name not in of]
        if name not in labelling["left_out_classes"] and (missing or count < _FEW_PLACES):
            lack = f", none in {' and '.join(missing)}" if missing else ""
            lines.append(f"class {name}: {count} places{lack}; its figures are chance")
    return lines


def _labelled_share(labelling: Mapping[str, Any]) -> float:
    """Share of the pixels of all patches that has a label."""
    from geolulc.labelling.burning import PIXEL

    labelled = sum(sum(of_split.values()) for of_split in labelling["pixels"].values())
    patches = sum(labelling["patches_by_scene"].values())
    return float(labelled / max(patches * (PATCH_SIZE // PIXEL) ** 2, 1))
