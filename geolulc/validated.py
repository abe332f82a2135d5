"""Settings that are checked, value by value, when they are made: pydantic finds what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from difflib import get_close_matches
from typing import Any, Final, Self

from pydantic import ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from geolulc.errors import ParameterError

#: No unknown name; no value of another type (but a whole number where any number will do).
STRICT: Final = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

_LONGEST_VALUE: Final = 120
# pydantic's kinds of errors in words
_EXPECTED: Final[Mapping[str, str]] = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of some digits",
    "float_type": "a number",
    "string_type": "text",
    "dict_type": "a mapping of names to values",
    "dataclass_type": "a mapping of names to values",
    "tuple_type": "a list",
    "list_type": "a list",
    "missing": "a value",
    "finite_number": "a finite number",
}
# limits of a field, the lower one first
_LIMITS: Final[Mapping[str, str]] = {
    "gt": "above {:g}",
    "ge": "from {:g}",
    "lt": "to below {:g}",
    "le": "to {:g}",
}


@dataclass(frozen=True, config=STRICT)
class Validated:
    """A frozen dataclass whose values have the types and limits of its annotations.

    Raises:
        ParameterError: a value of another type, outside its range or not among its choices, or a
            name that is no setting.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: Any, make: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return make(values)
        except ValidationError as error:
            first = error.errors()[0]
            if first["type"] == "unexpected_keyword_argument":
                cls.require_known([str(first["loc"][-1])])
            subject, found, expected = explain(error, cls)
            raise ParameterError(
                subject, found=found, expected=expected, remedy="Correct the value."
            ) from None

    @classmethod
    def require_known(cls, names: Mapping[str, Any] | list[str]) -> None:
        """``ParameterError`` with the nearest names unless each of ``names`` is a setting."""
        known = [f.name for f in fields(cls)]
        for name in names:
            if name not in known:
                near = get_close_matches(name, known, n=3, cutoff=0.4) or known
                raise ParameterError(
                    f"setting {name!r}",
                    found="no such setting",
                    expected=f"a known one, such as {', '.join(near)}",
                    remedy="Correct the name.",
                )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """The defaults with ``values`` (parsed TOML or JSON) in their place."""
        return cls(**values)

    def as_mapping(self) -> dict[str, Any]:
        """Every setting, JSON-able, in the order of the definition."""
        return asdict(self)


def explain(error: ValidationError, kind_of: type) -> tuple[str, str, str]:
    """What is wrong first: where ("B02 of std"), what was found, what was expected.

    ``kind_of`` is the dataclass whose fields have the limits of numbers.
    """
    first = error.errors()[0]
    kind, context = first["type"], first.get("ctx", {})
    # a name that is wrong itself is followed by "[key]"
    names = [str(part) for part in first["loc"] if not isinstance(part, int) and part != "[key]"]
    subject = " of ".join(reversed(names)) or "settings"
    found = "nothing" if kind == "missing" else repr(first["input"])
    if len(found) > _LONGEST_VALUE:
        found = found[: _LONGEST_VALUE - 1] + "…"
    if kind == "literal_error":
        choices = str(context["expected"]).replace(" or ", ", ").replace("'", "")
        return subject, found, f"one of {choices}"
    if kind in _EXPECTED:
        return subject, found, _EXPECTED[kind]
    limits = {name: value for name, value in context.items() if name in _LIMITS}
    if limits:
        # both limits of a setting; of a value inside one, the limit that it breaks
        own = getattr(kind_of, "__pydantic_fields__", {}).get(first["loc"][-1])
        for limit in () if own is None else own.metadata:
            limits |= {name: getattr(limit, name) for name in _LIMITS if hasattr(limit, name)}
        words = [text.format(limits[name]) for name, text in _LIMITS.items() if name in limits]
        return subject, found, f"a number {' '.join(words)}".replace("number to", "number up to")
    return subject, found, first["msg"][:1].lower() + first["msg"][1:]
