"""``geolulc classes``: the built-in nomenclatures, or the classes of one."""

from __future__ import annotations

from pathlib import Path

import click

from geolulc.cli.options import PATH_OR_TEXT, RESULT, json_option, read_nomenclature
from geolulc.cli.results import print_result


@click.command("classes")
@click.argument("nomenclature", required=False, type=PATH_OR_TEXT)
@click.option("--out", "-o", type=RESULT, help="Write the classes as a TOML file, to edit.")
@json_option
def command(nomenclature: str | None, out: Path | None, as_json: bool) -> None:
    """List the built-in nomenclatures, or the classes of NOMENCLATURE with codes and colours.

    NOMENCLATURE is a built-in one, a TOML file with an id, a title and classes, a QGIS style
    (.qml) of a raster of classes, or such a raster (.tif) with names or colours of its values.

    \b
    Examples:
        geolulc classes
        geolulc classes worldcover
        geolulc classes mine.qml --out mine.toml
        geolulc classes ESA_WorldCover_10m_2021.tif --json
    """
    from geolulc.nomenclature import BUILT_IN
    from geolulc.nomenclature_files import as_toml

    if nomenclature is None:
        if out is not None:
            raise click.UsageError("--out writes the classes of a nomenclature: name it")
        found = [read_nomenclature(name) for name in BUILT_IN]
        rows = [{"id": n.id, "classes": len(n), "title": n.title} for n in found]
        print_result(rows, "\n".join(f"{n.id:14}{n.title}" for n in found), as_json=as_json)
        return
    chosen = read_nomenclature(nomenclature)
    if out is not None:
        from geolulc.staging import staged

        with staged([out]) as (partial,):
            partial.write_text(as_toml(chosen), encoding="utf-8")
    lines = [f"{c.code:5}  {c.color}  {c.name}" for c in chosen.classes]
    print_result(chosen.as_mapping(), "\n".join([chosen.title, *lines]), as_json=as_json)
