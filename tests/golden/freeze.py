"""Freeze the outcome of the golden cases: ``python tests/golden/freeze.py [CASE…]``.

Run it where the code is known to be right. Without names all cases are frozen, and texts that no
case refers to are removed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]


def freeze(names: list[str]) -> None:
    """Write the facts of these cases, of all if there are none."""
    sys.path[:0] = [str(TESTS), str(TESTS.parent / "examples")]
    from golden.cases import CASES, Studio
    from golden.comparing import FROZEN, TEXTS, machine
    from golden.facts import Facts
    from golden.making import VERSION

    FROZEN.mkdir(exist_ok=True)
    TEXTS.mkdir(exist_ok=True)
    used = set()
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(Path(folder))
        for name in names or CASES:
            start = time.monotonic()
            facts = Facts(studio.root)
            frozen = {
                "made with": {"geolulc": VERSION, **machine()},
                "facts": CASES[name](studio, facts),
            }
            (FROZEN / f"{name}.json").write_text(_short_lines(frozen) + "\n", encoding="utf-8")
            for key, text in facts.texts.items():
                used.add(key)
                (TEXTS / f"{key}.txt").write_text(text, encoding="utf-8")
            sys.stdout.write(f"{name}: {time.monotonic() - start:.1f} s\n")
    if not names:
        for path in TEXTS.glob("*.txt"):
            if path.stem not in used:
                path.unlink()
        for path in FROZEN.glob("*.json"):
            if path.stem not in CASES:
                path.unlink()


def _short_lines(value: Any, indent: str = "") -> str:
    """JSON whose small parts stand on a line."""
    plain = json.dumps(value, ensure_ascii=False)
    if len(plain) + len(indent) <= 240 or not isinstance(value, (dict, list)):
        return plain
    if isinstance(value, list):
        if all(isinstance(item, (int, float, type(None))) for item in value):
            return plain
        rows = [_short_lines(item, indent + " ") for item in value]
        ends = "[]"
    else:
        rows = [
            f"{json.dumps(key, ensure_ascii=False)}: {_short_lines(item, indent + ' ')}"
            for key, item in value.items()
        ]
        ends = "{}"
    inside = ",\n".join(f"{indent} {row}" for row in rows)
    return f"{ends[0]}\n{inside}\n{indent}{ends[1]}"


if __name__ == "__main__":
    freeze(sys.argv[1:])
