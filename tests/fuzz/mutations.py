"""Seeded damage to files: a mutation changes one file in place, and the same seed the same way.

Mutations of bytes know nothing of a format. Those of texts, of JSON, of headers and of tables keep
the file well-formed, so that the damage gets past a parser to the code behind it.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Mutation = Callable[[Path, random.Random], None]

#: Values that a header, a table or a tag may hold in place of the right one.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**24, 0.5, 1e-320, 1e308, -1e9),
    *(float("nan"), float("inf"), float("-inf")),
    *("", " ", "x", "0", "nan", "EPSG:32799", "EPSG:0", "../../x", "/dev/zero", "a\0b"),
    *("\ud800", "\x1b[31mred", "=cmd|x", "<b>", "9" * 5000, "x" * 70_000, "2024-13-45T99:99:99Z"),
    *([], {}, [[]], [None], [1, "x"], {"": None}, [0] * 10_000),
)
#: The same for texts; numbers that XML and TOML may hold.
WORDS = (
    *("", "0", "-1", "1", "1e308", "-1e308", "nan", "inf", "1e-320", "0x10", "9" * 400, "9" * 5000),
    *("EPSG:32799", "EPSG:32661", "EPSG:4326", "EPSG:0", "true", "[]", "{}", "[[", '"', "\\", "''"),
    *("x" * 5000, "\x1b[31m", "é", "\ufeff", "&amp;", "&x;", "<a>", "</a>", "<![CDATA[", "../../x"),
    *("/dev/zero", "2024-13-45", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
)
#: The same for options of a command.
ARGUMENTS = (
    *WORDS,
    *(
        "60",
        "1200",
        "-1200",
        "5" * 5000 + ".5",
        "[" * 5000,
        "{a=" * 900,
        "1,2,3",
        "1,,",
        ",",
        "..",
        ".",
    ),
    *("/dev/full", "/dev/null", "/dev/zero", "/proc/self/mem", "made/..", "x" * 300 + ".tif", "~"),
    *("http://127.0.0.1:9/x", "/vsicurl/http://127.0.0.1:9/x", "-180,-90,180,90", "170,0,-170,5"),
    *("\udcff", "none", "auto", "all", "cuda", "cpu,cpu", "--", "-", "1e400", "NaN", "٣", "1_0"),
)
_INTEGERS = (0, 1, 2, 3, 2**7 - 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)


def bytes_of(change: Callable[[bytearray, random.Random], bytes]) -> Mutation:
    """A mutation of a whole file's bytes."""

    def mutate(path: Path, rng: random.Random) -> None:
        path.write_bytes(change(bytearray(path.read_bytes()), rng))

    return mutate


def damage(data: bytearray, rng: random.Random) -> bytes:
    """One to three changes of bytes, half of them near an end, where headers are."""
    for _ in range(rng.randint(1, 3)):
        if not data:
            break
        near = min(len(data), rng.choice((64, 512, 4096)))
        at = rng.choice(
            (rng.randrange(near), len(data) - 1 - rng.randrange(near), rng.randrange(len(data)))
        )
        length = rng.choice((1, 2, 4, 8, 100, len(data) // 3 + 1))
        match rng.randrange(7):
            case 0 | 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                number = rng.choice(_INTEGERS).to_bytes(4, rng.choice(("little", "big")))
                width = rng.choice((1, 2, 4))
                data[at : at + width] = (number[:width], number[-width:])[rng.randrange(2)]
            case 3:
                data[at : at + length] = bytes((rng.choice((0, 0xFF)),)) * length
            case 4:
                del data[at : at + length]
            case 5:
                data[at:at] = data[at : at + length]
            case 6:
                if rng.random() < 0.3:
                    del data[at:]
                else:
                    data[at : at + length] = rng.randbytes(length)
    return bytes(data)


def flip_bits(data: bytearray, rng: random.Random) -> bytes:
    """One bit is another."""
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def change_words(data: bytearray, rng: random.Random) -> bytes:
    """Words and lines of a text are replaced, repeated, or missing; or its encoding is another."""
    text = data.decode("utf-8")
    for _ in range(rng.randint(1, 2)):
        words = list(re.finditer(r"[^\s<>\"'=/,\[\]]+", text))
        lines = text.splitlines(keepends=True)
        if not words or not lines:
            break
        word, line = rng.choice(words), rng.randrange(len(lines))
        match rng.randrange(8):
            case 0 | 1 | 2 | 3:
                text = text[: word.start()] + rng.choice(WORDS) + text[word.end() :]
            case 4:
                text = "".join(lines[:line] + lines[line + 1 :])
            case 5:
                text = "".join(lines[: line + 1] + lines[line:])
            case 6:
                other = rng.choice(words)
                text = text[: word.start()] + other.group() + text[word.end() :]
            case 7:
                rng.shuffle(lines)
                text = "".join(lines)
    encoding = rng.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16", "utf-32", "latin-1"))
    return text.encode(encoding, "replace")


def change_json(data: bytearray, rng: random.Random) -> bytes:
    """Values of a JSON text are others, missing, one level deeper, or nested without end."""
    document = json.loads(data)
    for _ in range(rng.randint(1, 2)):
        document = _changed(document, rng)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _changed(document: Any, rng: random.Random) -> Any:
    places = [
        (holder, key)
        for holder in _holders(document)
        for key in (holder if isinstance(holder, dict) else range(len(holder)))
    ]
    if not places:
        return rng.choice(VALUES)
    holder, key = rng.choice(places)
    match rng.randrange(8):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key]]
        case 2:
            nested: Any = []
            for _ in range(rng.choice((10, 300, 900))):
                nested = [nested] if rng.random() < 0.9 else {"a": nested}
            holder[key] = nested
        case 3 if isinstance(holder, dict):
            holder[rng.choice(("x", "", "type", "\ud800", key + " "))] = holder.pop(key)
        case 4 if isinstance(holder[key], str) and holder[key][:1] in ("{", "["):
            # JSON within JSON, as checkpoints have it
            inner = bytearray(holder[key].encode())
            holder[key] = change_json(inner, rng).decode()
        case _:
            holder[key] = rng.choice(VALUES)
    return document


def _holders(document: Any) -> list[Any]:
    found, waiting = [], [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list) and len(value) < 1000:
            found.append(value)
            waiting.extend(value.values() if isinstance(value, dict) else value)
    return found


def change_safetensors(data: bytearray, rng: random.Random) -> bytes:
    """The JSON header of a checkpoint is changed and still has the length that it says."""
    (length,) = struct.unpack("<Q", data[:8])
    header = change_json(data[8 : 8 + length], rng)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def change_codestream(data: bytearray, rng: random.Random) -> bytes:
    """A field of a marker segment (SIZ, COD, QCD, SOT …) of a JPEG 2000 image is another."""
    markers = [
        at
        for at in range(len(data) - 12)
        if data[at] == 0xFF and data[at + 1] in (0x51, 0x52, 0x53, 0x5C, 0x5D, 0x90, 0x58, 0x55)
    ]
    for _ in range(rng.randint(1, 3)):
        at = rng.choice(markers) + 2 + rng.randrange(48)
        width = rng.choice((1, 1, 2, 4))
        data[at : at + width] = rng.choice(
            (rng.randbytes(width), rng.choice(_INTEGERS).to_bytes(4, "big")[-width:])
        )
    return bytes(data)


def change_tar(data: bytearray, rng: random.Random) -> bytes:
    """A field of a header of a (gzipped) tar is another and its sum is right; or pax is added."""
    packed = data[:2] == b"\x1f\x8b"
    data = bytearray(gzip.decompress(data)) if packed else data
    headers = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
    at = rng.choice(headers)
    if rng.random() < 0.4:
        records = rng.choices(
            (
                *(("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.size", "x")),
                *(("GNU.sparse.map", "0,512,9"), ("GNU.sparse.name", "../x"), ("size", "-1")),
                *(("GNU.sparse.realsize", "1" + "0" * 30), ("size", "9" * 30), ("path", "a\0b")),
                *(("mtime", "nan"), ("mtime", "x"), ("hdrcharset", "BINARY"), ("", "")),
                *(("GNU.sparse.offset", "x"), ("GNU.sparse.numbytes", "-5"), ("uid", "1e999")),
            ),
            k=rng.randint(1, 4),
        )
        body = b"".join(_pax_record(key, value, rng) for key, value in records)
        info = tarfile.TarInfo("pax")
        info.type, info.size = rng.choice((tarfile.XHDTYPE, tarfile.XGLTYPE)), len(body)
        padding = bytes(-len(body) % 512)
        data[at:at] = info.tobuf(tarfile.USTAR_FORMAT) + body + padding
    else:
        start, width = rng.choice(((0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (345, 155)))
        texts = (b"-1", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"77777777777", b"x", b"\0", b"../x")
        value = bytes((rng.choice(b"0125xgSLK7A\0"),)) if width == 1 else rng.choice(texts)
        data[at + start : at + start + width] = value[:width].ljust(width, b"\0")
        header = data[at : at + 148] + b" " * 8 + data[at + 156 : at + 512]
        data[at + 148 : at + 156] = b"%06o\0 " % sum(header)
    return gzip.compress(data, mtime=0) if packed else bytes(data)


def _pax_record(key: str, value: str, rng: random.Random) -> bytes:
    text = f" {key}={value}\n".encode()
    length = len(text) + len(str(len(text) + 2))
    if rng.random() < 0.1:
        length = rng.choice((0, 1, 10**9))
    return str(length).encode() + text


def change_zip(data: bytearray, rng: random.Random) -> bytes:
    """A field of a header of a zip is another: flags, method, sums, sizes, offsets."""
    headers = [
        (m.start(), rng.choice(fields))
        for magic, fields in (
            (b"PK\x03\x04", range(4, 30, 2)),
            (b"PK\x01\x02", range(4, 46, 2)),
            (b"PK\x05\x06", range(4, 22, 2)),
        )
        for m in re.finditer(re.escape(magic), data)
    ]
    for _ in range(rng.randint(1, 2)):
        start, field = rng.choice(headers)
        width = rng.choice((2, 4))
        data[start + field : start + field + width] = rng.choice(
            (rng.randbytes(width), rng.choice(_INTEGERS).to_bytes(4, "little")[:width])
        )
    return bytes(data)


def spoil_stream(data: bytearray, rng: random.Random) -> bytes:
    """The bytes of one member of a zip are others; its headers and its sum stay."""
    infos = zipfile.ZipFile(io.BytesIO(data)).infolist()
    info = rng.choice([i for i in infos if i.compress_size > 8])
    start = info.header_offset + 30 + len(info.filename.encode())
    at = start + rng.randrange(info.compress_size - 4)
    data[at : at + 4] = rng.randbytes(4)
    return bytes(data)


def change_rows(data: bytearray, rng: random.Random) -> bytes:
    """A CSV has another separator, header, quotes or ends of lines, or a row too many."""
    text = data.decode()
    old, new = rng.choice(
        (("\n", "\r\n"), (",", ";"), (",", "\t"), ("\n", ""), ("\n", ',"\n'), ("\n", "\n\0"))
    )
    text = text.replace(old, new, rng.choice((1, -1)))
    return (rng.choice(("", "name\n", "\ufeff", '"')) + text).encode()
