"""Damaged copies of sample files: bits, sizes, offsets, header cards, lengths, whole files."""

from __future__ import annotations

import random
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Content = bytes | Literal["missing", "folder", "fifo", "device", "loop"]
"""What a file becomes: other bytes, or something that is no regular file."""

Spot = tuple[int, int]
"""Offset and width in bytes of a number that a parser relies on."""

_POWERS = (7, 8, 15, 16, 24, 28, 31, 32, 40, 48, 62, 63)
_EXTREME = (*range(-2, 4), 999, 1000, 10**6, 10**7, *(2**k + d for k in _POWERS for d in (-1, 0)))
_WORDS = ["0", "-1", "1", "2", "7", "999", "1000", "65536", "10000000", "2147483647", "2147483648"]
_WORDS += ["-2147483648", "4294967296", "9223372036854775807", "99999999999999999999999999", "1.5", "0x10"]
_WORDS += ["1e308", "1E400", "-1e-320", "nan", "inf", "-inf", "T", "F", "''", "'X'", "(1,2)", "'9999999D'"]
_WORDS += ["'PE(2147483647)'"]
_KINDS: list[Literal["missing", "folder", "fifo", "device", "loop"]]
_KINDS = ["missing", "folder", "fifo", "device", "loop"]
_FLOATS = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, -1.0, 1e38, -1e38, 1e-40, 1e300]
_NUMBER = re.compile(rb"[+-]?[0-9][0-9.]*(?:[eE][+-]?[0-9]+)?")
_LARGEST = 8 * 2**20


@dataclass(frozen=True)
class Mutation:
    """One change to one file of a sample.

    Attributes
    ----------
    file : str
        Its name within the sample's folder.
    content : bytes or str
        What it becomes.
    what : str
        The change in words.
    strict : bool
        Whether it can only be noticed or harmless: a binary file cut, or longer by what is not its own. Then
        the data are those of the whole file, or there is an error.
    """

    file: str
    content: Content
    what: str
    strict: bool = False


def mutation(files: Mapping[str, bytes], named: str, draw: random.Random) -> Mutation:
    """Draw a change to a sample.

    Parameters
    ----------
    files : mapping of str to bytes
        The sample's files by their names within its folder.
    named : str
        The one that is read, or the folder.
    draw : random.Random
        All that the change depends on, beside the sample.
    """
    name = named if named in files and draw.random() < 0.8 else draw.choice(sorted(files))
    whole = files[name]
    if draw.random() < 0.01:
        kind = draw.choice(_KINDS)
        return Mutation(name, kind, f"is a {kind}" if kind != "missing" else "is missing")
    if not whole:
        return Mutation(name, draw.randbytes(draw.choice((1, 8, 600))), "is no longer empty")
    content, strict = whole, False
    notes: list[str] = []
    for _ in range(draw.choice((1, 1, 1, 1, 2, 3))):
        change = _change(content, draw)
        try:
            content, note, kept = change(content, draw)
        except (ValueError, IndexError, struct.error, zlib.error):  # the structure is gone already
            continue
        strict = kept and not notes
        notes.append(note)
    return Mutation(name, content[:_LARGEST], ", ".join(notes) or "is unchanged", strict and not _text(whole))


Change = Callable[[bytes, random.Random], tuple[bytes, str, bool]]


def _change(content: bytes, draw: random.Random) -> Change:
    structured: Change | None = None
    if content.startswith(b"SIMPLE  ="):
        structured = _card
    elif content[:6] == b"MATLAB" and b"\x89HDF" not in content[:520] and len(content) > 136:
        structured = _matlab
    elif _text(content):
        structured = _word
    if structured is not None and draw.random() < 0.6:
        return structured
    return draw.choices(
        (_number, _bits, _bytes, _cut, _append, _block, _float, _word), (40, 8, 6, 10, 4, 12, 6, 4)
    )[0]


def _text(content: bytes) -> bool:
    head = content[:512]
    return (
        b"\x00" not in head and all(32 <= b < 127 or b in b"\t\r\n" for b in head) and head[:6] != b"SIMPLE"
    )


# -- any file ---------------------------------------------------------------------------------------


def _bits(content: bytes, draw: random.Random) -> tuple[bytes, str, bool]:
    found = bytearray(content)
    places = [_place(content, draw) for _ in range(draw.choice((1, 1, 2, 8)))]
    for at in places:
        found[at] ^= 1 << draw.randrange(8)
    return bytes(found), f"bits flipped in bytes {sorted(places)}", False


def _bytes(content: bytes, draw: random.Random) -> tuple[bytes, str, bool]:
    at, n = _place(content, draw), draw.choice((1, 4, 16, 64))
    return content[:at] + draw.randbytes(n) + content[at + n :], f"{n} random bytes at {at}", False


def _number(content: bytes, draw: random.Random) -> tuple[bytes, str, bool]:
    spots = spots_of(content)
    if spots and draw.random() < 0.8:
        at, width = draw.choice(spots)
    else:
        width = draw.choice((1, 2, 4, 8))
        at = _place(content, draw) // width * width
    changed, value = _renumbered(content, at, width, draw)
    return changed, f"{width} bytes at {at} are {value}", False


def _renumbered(content: bytes, at: int, width: int, draw: random.Random) -> tuple[bytes, int]:
    order: Literal["little", "big"] = draw.choices(("little", "big"), (3, 1))[0]
    old = int.from_bytes(content[at : at + width], order)
    near = (
        old + 1,
        old - 1,
        2 * old,
        old // 2,
        old << 8,
        old ^ 0x80,
        len(content),
        at,
        draw.choice(range(64)),
    )
    others = [
        int.from_bytes(content[a : a + w], order)
        for a, w in draw.sample(spots_of(content) or [(at, width)], 1)
    ]
    value = draw.choice((*_EXTREME, *near, *others)) % (1 << (8 * width))
    return content[:at] + value.to_bytes(width, order) + content[at + width :], value


def _float(content: bytes, draw: random.Random) -> tuple[bytes, str, bool]:
    form = draw.choice(("<f", "<d", ">f", ">d"))
    at = _place(content, draw) // 4 * 4
    value = draw.choice(_FLOATS)
    try:
        packed = struct.pack(form, value)
    except OverflowError:
        packed = struct.pack(form, float("inf"))
    return content[:at] + packed + content[at + len(packed) :], f"the float at {at} is {value}", False


def _cut(content: bytes, draw: random.Random) -> tuple[bytes, str, bool]:
    keep = draw.choice((0, 1, len(content) - 1, len(content) // 2, len(content) // 2880 * 2880 - 2880))
    keep = keep if draw.random() < 0.3 else draw.randrange(len(content))
    return content[: max(keep, 0)], f"cut to {max(keep, 0)} of {len(content)} bytes", True


def _append(content: bytes, draw: random.Random) -> tuple[bytes, str, bool]:
    tail = draw.choice((bytes(1), bytes(2880), draw.randbytes(100), content[-512:], content[: _LARGEST // 2]))
    return content + tail, f"{len(tail)} bytes more at the end", True


def _block(content: bytes, draw: random.Random) -> tuple[bytes, str, bool]:
    n = draw.choice((8, 48, 80, 128, 512, 2880))
    a, b = (_place(content, draw) // n * n for _ in range(2))
    one, other = content[a : a + n], content[b : b + n]
    how = draw.choice(("swapped", "left out", "doubled", "copied", "zero"))
    if how == "swapped":
        low, high = min(a, b), max(a, b)
        middle = content[low + n : high]
        found = (
            content[:low] + content[high : high + n] + middle + content[low : low + n] + content[high + n :]
        )
    elif how == "left out":
        found = content[:a] + content[a + n :]
    elif how == "doubled":
        found = content[:a] + one * draw.choice((2, 2, 3, 1000)) + content[a + n :]
    elif how == "copied":
        found = content[:a] + other + content[a + n :]
    else:
        found = content[:a] + bytes(len(one)) + content[a + n :]
    return found, f"block of {n} bytes at {a} {how}", False


def _place(content: bytes, draw: random.Random) -> int:
    """A byte of the file; of its first kilobytes, where headers are, with probability one half."""
    return draw.randrange(
        min(len(content), draw.choice((512, 4096)) if draw.random() < 0.5 else len(content))
    )


# -- text, FITS cards, MATLAB elements ---------------------------------------------------------------


def _word(content: bytes, draw: random.Random) -> tuple[bytes, str, bool]:
    begin = 0 if _text(content) else _place(content, draw)
    found = list(_NUMBER.finditer(content, begin, begin + 20000))
    one = draw.choice(found)
    word = draw.choice((*_WORDS, "", "1 " * 40, "9" * 5000, "\x00", "\u00e9", "#")).encode()
    if not _text(content):  # of the same length, so that what follows stays in its place
        word = word[: len(one[0])].rjust(len(one[0]))
    return content[: one.start()] + word + content[one.end() :], f"{one[0][:20]!r} is {word[:20]!r}", False


def _card(content: bytes, draw: random.Random) -> tuple[bytes, str, bool]:
    """Change, double, swap or remove a card of a FITS header, or repeat a whole part."""
    headers = [m.start() for m in re.finditer(rb"SIMPLE  =|XTENSION=", content) if m.start() % 2880 == 0]
    begin = draw.choice(headers)
    cards = []
    for at in range(begin, min(len(content), begin + 80 * 400), 80):
        cards.append(at)
        if content[at : at + 8] == b"END     ":
            break
    structural = re.compile(
        rb"NAXIS|BITPIX|PCOUNT|GCOUNT|TFIELDS|TFORM|TDIM|TSCAL|TZERO|TNULL|GROUPS|P?TYPE|EXT"
    )
    first = [at for at in cards if structural.match(content, at)]
    at = draw.choice(first if first and draw.random() < 0.5 else cards)
    name = content[at : at + 8].decode("latin-1").strip()
    how = draw.choice(("value", "value", "value", "value", "name", "doubled", "gone", "swapped", "part"))
    if how == "value":
        word = draw.choice((*_WORDS, "", str(draw.choice(_EXTREME))))
        card = (content[at : at + 8] + b"= " + word.rjust(20).encode()).ljust(80)[:80]
        return content[:at] + card + content[at + 80 :], f"card {name} is {word}", False
    if how == "name":
        key = draw.choice(
            ("NAXIS", "NAXIS1", "TFIELDS", "XTENSION", "ZIMAGE", "END", "CONTINUE", "BLANK", "INHERIT")
        )
        return content[:at] + key.ljust(8).encode() + content[at + 8 :], f"card {name} is called {key}", False
    if how in ("doubled", "gone", "swapped"):
        other = draw.choice(cards)
        card = bytes(b" " * 80) if how == "gone" else content[other : other + 80]
        back = content[:at] + card + content[at + 80 :]
        if how == "swapped":
            back = back[:other] + content[at : at + 80] + back[other + 80 :]
        return back, f"card {name} is {how}", False
    end = min((h for h in headers if h > begin), default=len(content))
    times = draw.choice((2, 3, 50, 2000))
    part = content[begin:end]
    times = max(1, min(times, _LARGEST // max(len(part), 1)))
    return (
        content[:end] + part * times + content[end:],
        f"the part at {begin} follows {times} times more",
        False,
    )


def _matlab(content: bytes, draw: random.Random) -> tuple[bytes, str, bool]:
    """Change a number in an element of a MATLAB 5 file, within its compressed elements too."""
    elements = []
    at = 128
    while at + 8 <= len(content):
        kind, size = struct.unpack_from("<II", content, at)
        if kind > 20 or at + 8 + size > len(content):
            break
        elements.append((at, kind, size))
        at += 8 + size + (-size % 8 if kind != 15 else 0)
    at, kind, size = draw.choice(elements)
    if kind != 15:
        place = at + draw.randrange(0, min(size, 400) + 8) // 4 * 4
        found, value = _renumbered(content, place, 4, draw)
        return found, f"4 bytes at {place} of an element are {value}", False
    inner = zlib.decompress(content[at + 8 : at + 8 + size])
    place = draw.randrange(min(len(inner), draw.choice((64, 256, len(inner))))) // 4 * 4
    inner, value = _renumbered(inner, place, 4, draw)
    if draw.random() < 0.02:
        inner += bytes(64 * 2**20)
    packed = zlib.compress(inner, 1)
    changed = content[:at] + struct.pack("<II", 15, len(packed)) + packed + content[at + 8 + size :]
    return changed, f"4 bytes at {place} of a compressed element are {value}", False


# -- numbers that parsers rely on --------------------------------------------------------------------

_cache: dict[bytes, list[Spot]] = {}


def spots_of(content: bytes) -> list[Spot]:
    """Offsets and widths of sizes, counts, types and addresses, by the format's signature."""
    key = content[:4096] + len(content).to_bytes(8, "little")
    if key not in _cache:
        if len(_cache) > 64:
            _cache.clear()
        _cache[key] = _spots(content)
    return _cache[key]


def _spots(content: bytes) -> list[Spot]:
    if content[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return _tiff(content)
    if content[:6] == b"PQTTTR":
        tags = range(16, min(len(content) - 48, 16 + 48 * 300), 48)
        return [spot for at in tags for spot in ((at + 32, 4), (at + 36, 4), (at + 40, 8), (at + 40, 4))]
    if content[128:132] == b"DICM":
        found = [m.start() for m in re.finditer(rb"[A-Z][A-Z]..", content[132:8192], re.DOTALL)]
        return [spot for at in found for spot in ((132 + at + 2, 2), (132 + at + 4, 4), (132 + at + 8, 2))]
    if content[208:211] == b"MAP":
        return [(at, 4) for at in range(0, 224, 4)]
    if content[:4] == b"\xd0\xcf\x11\xe0":
        entries = [m.start() for m in re.finditer(rb"(?:[\x20-\x7e]\x00){2,31}\x00\x00", content)]
        entries = [at for at in entries if at % 128 == 0]
        inside = ((64, 2), (66, 1), (68, 4), (72, 4), (76, 4), (116, 4), (120, 8))
        return [(at, 4) for at in range(24, 76, 4)] + [(a + o, w) for a in entries for o, w in inside]
    if b"\x89HDF\r\n\x1a\n" in content[:1024]:
        signs = [
            m.start() for m in re.finditer(rb"TREE|SNOD|HEAP|OHDR|OCHK|FRHP|FHDB|BTHD|GCOL|HDF\r", content)
        ]
        near = [(at + k, w) for at in signs for k in range(4, 104, 4) for w in (1, 4, 8)]
        words = range(0, min(len(content), 16384) - 8, 8)
        return near + [
            (k, 8) for k in words if 0 < int.from_bytes(content[k : k + 8], "little") <= 2 * len(content)
        ]
    words = range(0, min(len(content), 8192) - 4, 4)
    return [(k, 4) for k in words if 0 < int.from_bytes(content[k : k + 4], "little") <= 2 * len(content)]


def _tiff(content: bytes) -> list[Spot]:
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:3] == b"+" or content[3:4] == b"+"
    step, count_form, word = (20, "Q", 8) if big else (12, "H", 4)
    found: list[Spot] = [(8, 8)] if big else [(4, 4)]
    at = struct.unpack_from(order + ("Q" if big else "I"), content, 8 if big else 4)[0]
    for _ in range(50):
        if at + 8 > len(content):
            break
        (count,) = struct.unpack_from(order + count_form, content, at)
        found.append((at, struct.calcsize(count_form)))
        first = at + struct.calcsize(count_form)
        if count > 100 or first + count * step + word > len(content):
            break
        for k in range(count):
            entry = first + k * step
            found += [(entry, 2), (entry + 2, 2), (entry + 4, word), (entry + 4 + word, word)]
        found += [(first + count * step, word)] * 4
        (at,) = struct.unpack_from(order + ("Q" if big else "I"), content, first + count * step)
        if not at:
            break
    return found
