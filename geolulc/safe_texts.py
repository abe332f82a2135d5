"""Texts from files of strangers, made safe for the place where they are shown.

A name in a file may hold a terminal's commands, the HTML of a page or a spreadsheet's formula.
Each medium has one function here; pages of HTML are escaped by jinja2, XML by its templates.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final

_LONGEST_LINE: Final = 500
# what begins code, links, HTML or a cell of a table
_MARKDOWN: Final = re.compile(r"[\\`\[\]<>&|]")
#: A cell that begins so is a formula to a spreadsheet (owasp.org, "CSV Injection").
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
#: A URL; one that went through a path has one slash.
_URL: Final = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]+:/{1,2}(?=[^\s/])[^\s'\"<>|]+")
_USER: Final = re.compile(r"(?<=:/)(/?)[^/?#]*@")
#: A value in the query of a URL; what follows its # is for browsers.
_VALUE: Final = re.compile(r"([?&;][^=&;#]*=)[^&;#]*|#.*")
_TOKEN: Final = re.compile(r"\b(bearer|basic|token)(:? +)[\w.~+/=-]{6,}", re.IGNORECASE)


def one_line(text: object, longest: int | None = _LONGEST_LINE) -> str:
    """``text`` on one line of at most ``longest`` characters, without control characters."""
    plain = re.sub(r"\s+", " ", _shown(text, kept="")).strip()
    return plain if longest is None or len(plain) <= longest else plain[: longest - 1] + "…"


def without_secrets(text: object) -> str:
    """``text`` without what URLs in it may keep secret: user, password, values of the query.

    Signatures and keys are values of queries; which of them are is not guessed. Tokens of an
    ``Authorization`` header go too.
    """
    return _TOKEN.sub(r"\1\2…", _URL.sub(lambda found: _public(found[0]), str(text)))


def _public(url: str) -> str:
    return _VALUE.sub(lambda found: f"{found[1]}…" if found[1] else "", _USER.sub(r"\1", url))


def for_terminal(text: object) -> str:
    """``text`` as it is printed: lines and tabs stay, other control characters become spaces."""
    return _shown(text, kept="\n\t")


def for_json(text: str) -> str:
    r"""JSON whose control characters, which a terminal would obey, are written as \uXXXX."""
    return "".join(_escaped(c) if _commands(c) and c != "\n" else c for c in text)


def for_markdown(text: object) -> str:
    """``text`` in a line of Markdown: neither HTML, a link, code nor a cell of its own."""
    return _MARKDOWN.sub(lambda found: "\\" + found[0], one_line(text, longest=None))


def code(text: object) -> str:
    """``text`` as a code span of Markdown: nothing in it is markup, and it does not end early."""
    return f"`{one_line(text, longest=None).replace('`', chr(39))}`"


def for_plot(text: object) -> str:
    """``text`` in a plot: matplotlib takes nothing in it for a formula."""
    return one_line(text).replace("$", r"\$")


def for_csv(frame: Any, *, index: bool = False) -> str:
    """The CSV of a pandas DataFrame: a text that a spreadsheet would take for a formula begins
    with ' there, in names of columns and rows too.

    Numbers, and texts that are numbers, stay as they are.
    """
    safe = frame.map(_no_formula).rename(columns=_no_formula)
    if index:
        safe = safe.rename(index=_no_formula)
    return str(safe.to_csv(index=index, lineterminator="\n"))


def _no_formula(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(_FORMULA) or _is_number(value):
        return value
    return f"'{value}"


def _shown(text: object, kept: str) -> str:
    return "".join(_plain(c) if _commands(c) and c not in kept else c for c in str(text))


def _commands(character: str) -> bool:
    """Whether it is no character to be seen: control, direction, half of a pair, unassigned."""
    return unicodedata.category(character)[0] == "C"


def _plain(character: str) -> str:
    # half of a pair stands for a byte of a name that is not UTF-8
    return "\ufffd" if unicodedata.category(character) == "Cs" else " "


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
