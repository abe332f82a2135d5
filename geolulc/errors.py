"""Errors of a user's input, each explained in one line.

Every error names the path or value, what was found, what was expected and the remedy.
The command line prints it and exits with 1; anything else that is raised is a bug and stays
a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable

from geolulc.safe_texts import one_line, without_secrets


class GeolulcError(Exception):
    """Input that geolulc cannot use: ``subject: found …; expected …. remedy``.

    Its texts hold no secrets of URLs (``safe_texts.without_secrets``).
    """

    def __init__(self, subject: object, *, found: object, expected: object, remedy: object) -> None:
        self.subject = one_line(without_secrets(subject))
        self.found = one_line(without_secrets(found))
        self.expected = one_line(without_secrets(expected))
        self.remedy = one_line(without_secrets(remedy))
        super().__init__(
            f"{self.subject}: found {self.found}; expected {self.expected}. {self.remedy}"
        )

    def within(
        self, subject: object, kind: type[GeolulcError] | None = None, *, remedy: str = ""
    ) -> GeolulcError:
        """This error as one of ``subject``, a file in which its own subject stands."""
        return (kind or type(self))(
            subject,
            found=f"{self.subject}: {self.found}",
            expected=self.expected,
            remedy=remedy or self.remedy,
        )

    def __reduce__(self) -> tuple[object, ...]:
        # keyword-only arguments do not survive the default pickling between processes
        return (_rebuild, (type(self), self.subject, self.found, self.expected, self.remedy))


def _rebuild(
    kind: type[GeolulcError], subject: str, found: str, expected: str, remedy: str
) -> GeolulcError:
    return kind(subject, found=found, expected=expected, remedy=remedy)


class ProductError(GeolulcError):
    """A Sentinel-2 product, or a part of it, cannot be used."""


class DatasetError(GeolulcError):
    """A BigEarthNet archive or a store cannot be used."""


class CheckpointError(GeolulcError):
    """A model file cannot be used."""


class TrainingError(GeolulcError):
    """A training run went wrong (its loss is not a number any more)."""


class OutputError(GeolulcError):
    """A result cannot be written where it was asked for."""


class RemoteError(GeolulcError):
    """A server, or an answer of it, cannot be used."""


class ClusterError(GeolulcError):
    """A Dask cluster, or a worker of it, cannot do what it was asked to."""


class ParameterError(GeolulcError):
    """A parameter's value cannot be used (a stride off the grid, an unknown band)."""


def require_one_of(
    what: str, value: str, choices: Iterable[str], *, remedy: str = "Use one of these."
) -> None:
    """``ParameterError`` unless ``value``, the name of a ``what`` ("split"), is of ``choices``."""
    known = tuple(choices)
    if value not in known:
        raise ParameterError(
            f"{what} {value!r}",
            found=f"no such {what}",
            expected=f"one of {', '.join(known)}",
            remedy=remedy,
        )
