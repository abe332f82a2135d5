"""An XML file of a product, asked by local names. It comes from a stranger.

Elements are matched by local name: the namespace changes with the format's version, and
comparing versions has cost others the radiometric offset. No entities, no document types, bounded
sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from geolulc.errors import ProductError
from geolulc.products.archive import Contents

_LARGEST_XML: Final = 32_000_000
_LONGEST_TEXT: Final = 300


class Document:
    """One XML file, asked by local names."""

    def __init__(self, contents: Contents, name: str) -> None:
        self._subject = str(contents.members[name])
        data = contents.read(name, _LARGEST_XML)
        try:
            self._root: Element = fromstring(data, forbid_dtd=True)
        except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
            raise self.error(
                f"damaged XML ({type(error).__name__}: {error})",
                "well-formed metadata of Sentinel-2",
                "Download the product again.",
            ) from error

    def error(
        self, found: str, expected: str, remedy: str = "Use the original XML."
    ) -> ProductError:
        return ProductError(self._subject, found=found, expected=expected, remedy=remedy)

    def all(self, *names: str, within: Element | None = None) -> Iterator[Element]:
        """Elements of these local names, in document order."""
        for element in (self._root if within is None else within).iter():
            if isinstance(element.tag, str) and element.tag.rpartition("}")[2] in names:
                yield element

    def text(self, *names: str, within: Element | None = None) -> str:
        """The text of the first such element; ``ProductError`` where it is absent or empty."""
        for element in self.all(*names, within=within):
            if text := (element.text or "").strip():
                if len(text) > _LONGEST_TEXT:
                    raise self.error(f"{names[0]} {text}", "a short text")
                return text
        raise self.error(f"no {names[0]}", "the metadata of Sentinel-2")

    def number(self, name: str, within: Element | None = None) -> int:
        return self.integer(name, self.text(name, within=within))

    def integer(self, name: str, text: str) -> int:
        """A whole number, also as Sentinel-2 writes some of them: "10000.0"."""
        try:
            value = float(text)
            if value != int(value):
                raise ValueError
        except (ValueError, OverflowError):
            raise self.error(f"{name} {text!r}", "a whole number") from None
        return int(value)
