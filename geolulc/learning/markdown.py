"""Tables of Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from geolulc.safe_texts import for_markdown


def markdown_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of a table and an empty one after it.

    Texts are shown as they are (``for_markdown``). Floats have three digits; None and NaN are a
    dash; columns of numbers are set to the right.
    """
    numbers = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    rule = ["---:" if number else "---" for number in numbers]
    return [*(f"| {' | '.join(map(_cell, line))} |" for line in (header, rule, *rows)), ""]


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return for_markdown(text)
