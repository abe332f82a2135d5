"""``geolulc classes``: the built-in nomenclatures, or the classes of one."""

from __future__ import annotations

import click

from geolulc.cli.options import json_option
from geolulc.cli.results import print_result


@click.command("classes")
@click.argument("nomenclature", required=False)
@json_option
def command(nomenclature: str | None, as_json: bool) -> None:
    """List the built-in nomenclatures, or the classes of NOMENCLATURE with codes and colours.

    \b
        geolulc classes
        geolulc classes worldcover
    """
    from geolulc.nomenclature import BUILT_IN
    from geolulc.nomenclature import nomenclature as built_in

    if nomenclature is None:
        found = [built_in(name) for name in BUILT_IN]
        rows = [{"id": n.id, "classes": len(n), "title": n.title} for n in found]
        print_result(rows, "\n".join(f"{n.id:14}{n.title}" for n in found), as_json=as_json)
        return
    chosen = built_in(nomenclature)
    lines = [f"{c.code:5}  {c.color}  {c.name}" for c in chosen.classes]
    print_result(chosen.as_mapping(), "\n".join([chosen.title, *lines]), as_json=as_json)
