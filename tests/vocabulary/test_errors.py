"""Errors are one line with four parts, whatever a stranger's file put into them."""

from __future__ import annotations

import pickle

from geolulc.errors import GeolulcError, ProductError, one_line


def test_the_four_parts_are_said() -> None:
    error = ProductError("x.SAFE", found="no B02", expected="twelve bands", remedy="Download it.")
    assert str(error) == "x.SAFE: found no B02; expected twelve bands. Download it."


def test_control_characters_and_line_ends_cannot_leave_the_line() -> None:
    hostile = "a\nb\r\x1b[31mred\x00\u2028c" + "x" * 10_000
    line = one_line(hostile)
    assert line.startswith("a b [31mred c")
    assert len(line) == 500
    assert "\x1b" not in line


def test_errors_travel_between_processes() -> None:
    error = ProductError("p", found="f", expected="e", remedy="r")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert isinstance(copy, ProductError)
    assert isinstance(copy, GeolulcError)
    assert str(copy) == str(error)
    assert copy.remedy == "r"
