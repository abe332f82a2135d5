"""Files that are filled in from a template: pages, styles, class tables."""

from __future__ import annotations

import functools
from typing import Any

import jinja2


def fill(template: str, room: str = "outputs", **values: Any) -> str:
    """The text of ``template`` with ``values``, which are escaped: no name can become markup.

    ``room``: of the house, in which the template lies; it can use those of ``outputs``.
    """
    return _environment(room).get_template(template).render(values)


@functools.cache
def _environment(room: str) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("geolulc", place) for place in (room, "outputs")]
        ),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
