"""Maps of both kinds, and what is made of them, are what they were: facts frozen in ``frozen``.

Cases are in ``cases.py``; ``facts.py`` says what is frozen of each file: pixels (by SHA-256), tags,
tables, geometries, styles, STAC, the words and data of reports; not how files are laid out and
packed. Long texts are in ``texts``, named by their content. Numbers are compared to 1e-9, what
networks say to 1e-4. Hashes marked "bound:" count on the kind of machine that froze them; sums
beside them count on all.

* Where geolulc's Python interface changes, adapt ``making.py``, and it alone.
* A difference that is meant is stated with its reason in ``intended.py``.
* ``python tests/golden/freeze.py [CASE…]`` freezes anew what the code makes now, for commits that
  mean to change it: look at the diff.
"""

from __future__ import annotations

import json
import os

import pytest
from golden.cases import CASES, Studio
from golden.comparing import FROZEN, TEXTS, Comparison
from golden.facts import Facts

#: Differences printed of a case.
_SHOWN = 40


@pytest.mark.parametrize("case", CASES)
def test_nothing_has_changed(studio: Studio, case: str) -> None:
    facts = Facts(studio.root)
    found = json.loads(json.dumps(CASES[case](studio, facts)))
    frozen = json.loads((FROZEN / f"{case}.json").read_text(encoding="utf-8"))
    different = Comparison(case, frozen, facts.texts).differences(found)
    if different:
        shown = [str(one) for one in different[: int(os.environ.get("GEOLULC_SHOWN", _SHOWN))]]
        more = len(different) - len(shown)
        more_text = f"\n… and {more} more (GEOLULC_SHOWN=100 shows 100)" if more > 0 else ""
        pytest.fail(
            f"{case}: {len(different)} differences\n" + "\n".join(shown) + more_text, pytrace=False
        )


def test_all_that_is_frozen_is_compared() -> None:
    assert {path.stem for path in FROZEN.glob("*.json")} == set(CASES)
    referred = "".join(path.read_text(encoding="utf-8") for path in FROZEN.glob("*.json"))
    assert [path.name for path in TEXTS.glob("*.txt") if path.stem not in referred] == []


def test_what_differs_is_found() -> None:
    """A number, a byte, a word, a key, a row too few: each by its place."""
    frozen = {
        "made with": {"geolulc": "0"},
        "facts": {"a": 1.0, "b": {"sha256": "x"}, "c": [1, 2], "d": "word", "e": True, "gone": 0},
    }
    frozen["facts"]["p"] = {"$near": [0.5, 0.25], "$within": 1e-4}
    frozen["facts"]["q"] = {"$sure": [3, None, 4]}
    frozen["facts"]["bound"] = "bound:1"
    same = {**frozen["facts"], "a": 1.0 + 1e-12, "bound": "bound:2"}
    same["p"] = {"$near": [0.50005, 0.25], "$within": 1e-4}
    same["q"] = {"$sure": [3, 9, None]}
    assert Comparison("none", frozen, {}).differences(same) == []
    other = {"a": 1.0 + 1e-7, "b": {"sha256": "y"}, "c": [1], "d": "Word", "e": 1, "new": 0}
    other |= {"p": {"$near": [0.51, 0.25], "$within": 1e-4}, "q": {"$sure": [4, None, 4]}}
    other["bound"] = "2"
    found = [one.path for one in Comparison("none", frozen, {}).differences(other)]
    assert found == [
        "/a", "/b/sha256", "/c", "/d", "/e", "/gone", "/p/$near/0", "/q/$sure/0", "/bound", "/new",
    ]  # fmt: skip
