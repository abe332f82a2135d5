"""Errors are one line with four parts, whatever a stranger's file put into them."""

from __future__ import annotations

import pickle

import pytest

from geolulc.errors import (
    CheckpointError,
    GeolulcError,
    ParameterError,
    ProductError,
    require_one_of,
)
from geolulc.safe_texts import one_line


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


def test_an_error_in_a_file_is_one_of_the_file() -> None:
    inner = ParameterError("drop_rate", found="7", expected="a number below 1", remedy="Correct.")
    outer = inner.within("model.safetensors", CheckpointError, remedy="Train it again.")
    assert type(outer) is CheckpointError
    assert str(outer) == (
        "model.safetensors: found drop_rate: 7; expected a number below 1. Train it again."
    )
    assert type(inner.within("my.toml")) is ParameterError


def test_one_of_some_choices() -> None:
    require_one_of("split", "val", ("train", "val"))
    with pytest.raises(ParameterError, match="split 'dev': found no such split; expected one of"):
        require_one_of("split", "dev", ("train", "val"))
