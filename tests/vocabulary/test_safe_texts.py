"""Texts of strangers in a terminal, in JSON, Markdown, CSV and plots."""

from __future__ import annotations

import csv
import io
import json

import pandas
import pytest

from geolulc.safe_texts import (
    code,
    for_csv,
    for_json,
    for_markdown,
    for_plot,
    for_terminal,
    one_line,
)

#: Colours, the title of the window, C1's CSI, text from right to left, half of a pair.
HOSTILE = "a\x1b[31mb\x1b]0;c\x07\x9b2J\u202ed\udce9"


def test_the_terminal_obeys_no_text() -> None:
    assert for_terminal(f"{HOSTILE}\n\té") == "a [31mb ]0;c  2J d\ufffd\n\té"
    assert one_line(f"{HOSTILE}\n\té") == "a [31mb ]0;c 2J d\ufffd é"


def test_one_line_of_a_length() -> None:
    assert len(one_line("x" * 900)) == 500
    assert one_line("x" * 900, longest=None) == "x" * 900


def test_json_says_all_and_commands_nothing() -> None:
    value = {HOSTILE: "é\U000e0001"}
    text = for_json(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(text) == value
    assert "é" in text
    assert not set(text) & set("\x1b\x07\x9b\u202e\udce9\U000e0001")


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("<img src=x>", "\\<img src=x\\>"),
        ("[a](javascript:b)", "\\[a\\](javascript:b)"),
        ("a|b`c`&lt;", "a\\|b\\`c\\`\\&lt;"),
        ("# a\n# b\\", "# a # b\\\\"),
        ("S2A_87_48: 1.5", "S2A_87_48: 1.5"),
    ],
)
def test_markdown(text: str, markdown: str) -> None:
    assert for_markdown(text) == markdown


def test_csv_keeps_no_formula() -> None:
    frame = pandas.DataFrame(
        {
            "name": ["=cmd|' /C calc'!A0", "+a", "-b", "@SUM(1)", "\t=1", "plain"],
            "text": ["-5", "+1.5e3", "a=b", "'x", 'é, "q"', None],
            "=1+1": [-1.5, 0.1, 2, 3, 4, float("nan")],
        }
    )
    rows = list(csv.reader(io.StringIO(for_csv(frame))))
    assert rows[0] == ["name", "text", "'=1+1"]
    assert [row[0] for row in rows[1:]] == [
        "'=cmd|' /C calc'!A0", "'+a", "'-b", "'@SUM(1)", "'\t=1", "plain",
    ]  # fmt: skip
    assert [row[1] for row in rows[1:]] == ["-5", "+1.5e3", "a=b", "'x", 'é, "q"', ""]
    assert [row[2] for row in rows[1:]] == ["-1.5", "0.1", "2.0", "3.0", "4.0", ""]
    named = pandas.DataFrame([[1]], index=["=a"], columns=["-b"])
    assert for_csv(named, index=True) == ",'-b\n'=a,1\n"


def test_a_plot_has_no_formula() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    text = figure.text(0, 0, for_plot("$\\frac{$ 5 $"))
    figure.canvas.draw()  # a formula that is none would be an error here
    assert text.get_text() == "\\$\\frac{\\$ 5 \\$"


def test_a_code_span_does_not_end_early() -> None:
    assert code("a`<b>\n") == "`a'<b>`"
