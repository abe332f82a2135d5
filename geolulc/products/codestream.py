"""The frame of a JPEG 2000 file: its size, its tiles, and whether all of them are there.

Walks the JP2 boxes and the chain of tile parts (``Psot``) without decoding: some hundred short
reads a file. A decoder would notice a missing end only when it gets there, after minutes of
work, and some decoders fill what is missing with a colour. glymur, which reads these headers too,
stops at the first tile part and so does not see that a later one is missing. Markers:
ISO/IEC 15444-1, annex A (codestream) and annex I (boxes).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, Final

from geolulc.products.archive import Member, damaged, open_member

_SIGNATURE: Final = bytes.fromhex("0000000C6A5020200D0A870A")
_SOC, _SOT, _EOC, _SIZ = 0xFF4F, 0xFF90, 0xFFD9, 0xFF51
_MOST_BOXES: Final = 1000
_MOST_SEGMENTS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows and columns of an image and of its JP2 tiles, in pixels."""

    shape: tuple[int, int]
    tile_shape: tuple[int, int]
    components: int

    @property
    def tile_count(self) -> int:
        """Number of JP2 tiles."""
        rows, columns = (
            -(-n // t) if t else 0 for n, t in zip(self.shape, self.tile_shape, strict=True)
        )
        return rows * columns


def read_frame(member: Member) -> Frame:
    """The frame of a JP2 file that is whole.

    Raises:
        ProductError: it is no JP2 file, it ends early, or a tile is missing.
    """
    try:
        with open_member(member) as file:
            return _Walk(file, member.size).frame()
    except (OSError, EOFError, struct.error, ValueError) as error:
        raise damaged(member, error) from error


class _Walk:
    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def _at(self, offset: int, count: int) -> bytes:
        self._file.seek(offset)
        data = self._file.read(count)
        if len(data) != count:
            raise EOFError(f"it ends at byte {self._size:,}, in the middle of its data")
        return data

    def frame(self) -> Frame:
        if self._size < len(_SIGNATURE) or self._at(0, len(_SIGNATURE)) != _SIGNATURE:
            raise ValueError("no JPEG 2000 file")
        return self._codestream(*self._find_codestream())

    def _find_codestream(self) -> tuple[int, int]:
        """(start, end) of the contents of the ``jp2c`` box."""
        offset = 0
        for _ in range(_MOST_BOXES):
            if offset >= self._size:
                break
            length, kind = struct.unpack(">I4s", self._at(offset, 8))
            header = 8
            if length == 1:
                (length,) = struct.unpack(">Q", self._at(offset + 8, 8))
                header = 16
            end = offset + length if length else self._size
            if kind == b"jp2c":
                if end > self._size:
                    raise EOFError(f"{self._size:,} of {end:,} bytes")
                return offset + header, end
            if length < header:
                break
            offset = end
        raise ValueError("no image in it")

    def _codestream(self, start: int, end: int) -> Frame:
        if struct.unpack(">H", self._at(start, 2)) != (_SOC,):
            raise ValueError("no codestream in it")
        offset = start + 2
        frame: Frame | None = None
        seen: set[int] = set()
        for _ in range(_MOST_SEGMENTS):
            (marker,) = struct.unpack(">H", self._at(offset, 2))
            if marker == _EOC:
                break
            (length,) = struct.unpack(">H", self._at(offset + 2, 2))
            if marker == _SIZ:
                frame = self._size_segment(self._at(offset + 4, 36))
            if marker == _SOT:
                index, part = struct.unpack(">HI", self._at(offset + 4, 6))
                seen.add(index)
                if not part:
                    break  # the last tile part, which reaches to the end
                length = part - 2
            if length < 2 or offset + 2 + length > end:
                raise EOFError("a part of it reaches beyond its end")
            offset += 2 + length
        else:
            raise ValueError("no end in it")
        if frame is None:
            raise ValueError("no size in it")
        if len(seen) != frame.tile_count:
            raise EOFError(f"{len(seen)} of {frame.tile_count} JP2 tiles")
        return frame

    @staticmethod
    def _size_segment(data: bytes) -> Frame:
        x1, y1, x0, y0, width, height, left, top, count = struct.unpack(">2x8IH", data)
        if x0 or y0 or left or top or not width or not height:
            raise ValueError("an image grid that Sentinel-2 does not use")
        return Frame(
            shape=(y1, x1),
            tile_shape=(min(height, y1), min(width, x1)),
            components=count,
        )
