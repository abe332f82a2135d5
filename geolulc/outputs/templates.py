"""Files that are filled in from a template beside this module: the page, styles, class tables."""

from __future__ import annotations

import functools
from typing import Any

import jinja2


def fill(template: str, **values: Any) -> str:
    """The text of ``template`` with ``values``, which are escaped: no name can become markup."""
    return _environment().get_template(template).render(values)


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("geolulc", "outputs"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
