"""The frame of a JPEG 2000 file: its size, its tiles, and whether all of them are there.

Walks the JP2 boxes and the chain of tile parts (``Psot``) without decoding: some hundred short
reads a file. A decoder would notice a missing end only when it gets there, after minutes of
work, and some decoders fill what is missing with a colour; glymur reads no more than the first
tile part. A decoder also makes room for every code block that the headers announce: a file of
43 kB can ask for gigabytes, so they are counted first. Markers: ISO/IEC 15444-1, annex A
(codestream) and annex I (boxes).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Final, NoReturn

from geolulc.products.archive import Member, damaged, open_member

_SIGNATURE: Final = bytes.fromhex("0000000C6A5020200D0A870A")
_SOC, _SOT, _SOD, _EOC, _SIZ = 0xFF4F, 0xFF90, 0xFF93, 0xFFD9, 0xFF51
_COD, _COC = 0xFF52, 0xFF53
_MOST_BOXES: Final = 1000
_MOST_SEGMENTS: Final = 100_000
#: A decoder keeps 7 kB for each; Sentinel-2 has 121 at most.
_MOST_TILES: Final = 1 << 14
#: Code blocks × quality layers of a tile; Sentinel-2 has about 350. 0.5 kB each.
_MOST_BLOCKS: Final = 1 << 18
_MOST_LEVELS: Final = 32


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows and columns of an image and of its JP2 tiles, in pixels."""

    shape: tuple[int, int]
    tile_shape: tuple[int, int]
    components: int

    @property
    def tile_count(self) -> int:
        """Number of JP2 tiles."""
        rows, columns = (-(-n // t) for n, t in zip(self.shape, self.tile_shape, strict=True))
        return rows * columns


def read_frame(member: Member) -> Frame:
    """The frame of a JP2 file that is whole.

    Raises:
        ProductError: it is no JP2 file, it ends early, a tile is missing, or it would take a
            decoder more memory than an image of Sentinel-2 does.
    """
    try:
        with open_member(member) as file:
            return _Walk(file, member.size).frame()
    except (OSError, EOFError, struct.error, ValueError, IndexError) as error:
        raise damaged(member, error) from error


class _Walk:
    def __init__(self, file: BufferedIOBase, size: int) -> None:
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
        after = end  # of the tile part whose header is being read
        for _ in range(_MOST_SEGMENTS):
            (marker,) = struct.unpack(">H", self._at(offset, 2))
            if marker == _EOC:
                break
            if marker == _SOD:
                if after == end:
                    break  # the last tile part, which reaches to the end
                offset = after
                continue
            (length,) = struct.unpack(">H", self._at(offset + 2, 2))
            if length < 2 or offset + 2 + length > end:
                self._beyond()
            if marker == _SIZ:
                frame = self._size_segment(self._at(offset + 4, 36))
            elif marker in (_COD, _COC) and frame is not None:
                segment = self._at(offset + 4, length - 2)
                _require_plausible(frame, segment, default=marker == _COD)
            elif marker == _SOT:
                index, part = struct.unpack(">HI", self._at(offset + 4, 6))
                seen.add(index)
                after = offset + part if part else end
                if after > end or (part and part < 14):
                    self._beyond()
            offset += 2 + length
        else:
            raise ValueError("no end in it")
        if frame is None:
            raise ValueError("no size in it")
        if seen != set(range(frame.tile_count)):
            raise EOFError(f"{len(seen)} of {frame.tile_count} JP2 tiles")
        return frame

    @staticmethod
    def _beyond() -> NoReturn:
        raise EOFError("a part of it reaches beyond its end")

    @staticmethod
    def _size_segment(data: bytes) -> Frame:
        x1, y1, x0, y0, width, height, left, top, count = struct.unpack(">2x8IH", data)
        if x0 or y0 or left or top or not (x1 and y1 and width and height):
            raise ValueError("an image grid that Sentinel-2 does not use")
        frame = Frame((y1, x1), (min(height, y1), min(width, x1)), count)
        if frame.tile_count > _MOST_TILES:
            raise ValueError(f"{frame.tile_count:,} JP2 tiles")
        return frame


def _require_plausible(frame: Frame, segment: bytes, *, default: bool) -> None:
    """``ValueError`` if a tile coded as ``segment`` says holds more code blocks than is sane.

    ``default``: the segment is a COD, which holds for all components, else a COC.
    """
    if default:
        style, layers, at = segment[0], int.from_bytes(segment[2:4], "big"), 5
    else:
        at = 2 if frame.components < 257 else 3
        style, layers = segment[at - 1], 1
    levels, across, down = segment[at], segment[at + 1] + 2, segment[at + 2] + 2
    precincts = segment[at + 5 :] if style & 1 else b"\xff" * (levels + 1)
    if levels > _MOST_LEVELS or len(precincts) <= levels:
        raise ValueError(f"{levels} resolution levels")
    blocks = 0
    for level in range(levels + 1):
        # every level but the coarsest is three bands of half its size, cut by half its precincts
        finer = level > 0
        sides = (-(-side >> levels - level + finer) for side in frame.tile_shape)
        limits = precincts[level] >> 4, precincts[level] & 15
        rows, columns = (
            -(-side >> min(block, max(limit - finer, 0)))
            for side, block, limit in zip(sides, (down, across), limits, strict=True)
        )
        blocks += rows * columns * (3 if finer else 1)
    if blocks * layers > _MOST_BLOCKS:
        raise ValueError(f"{blocks:,} code blocks × {layers:,} layers in a JP2 tile")
