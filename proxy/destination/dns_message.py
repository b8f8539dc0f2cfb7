"""One question for an A record and its answer, as bytes (RFC 1035 section 4). Pure.

>>> encode_question("ok.test", 7).hex(" ")
'00 07 01 00 00 01 00 00 00 00 00 00 02 6f 6b 04 74 65 73 74 00 00 01 00 01'
"""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

MAX_RECORDS = 128
MAX_JUMPS = 16
"""Of a compressed name, and of a chain of aliases."""
_HEADER = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")
_A, _CNAME, _IN = 1, 5, 1


class BadAnswerError(ValueError):
    """The bytes are no answer to the question."""


class Answer(NamedTuple):
    """What a server said."""

    code: int
    """RFC 1035 section 4.1.1, RCODE."""
    addresses: list[str]
    ttl_s: float
    """How long the addresses may be kept."""
    is_cut_off: bool
    """Whether it has to be asked for by TCP."""


def encode_question(host: str, number: int) -> bytes:
    """Ask for the A records of a name. Raises OSError for one that no question has room for."""
    labels = host.encode("ascii", "strict").rstrip(b".").split(b".")
    if not all(0 < len(label) < 64 for label in labels) or sum(map(len, labels)) + len(labels) > 254:
        raise OSError("no name that can be asked for")
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return _HEADER.pack(number, 0x0100, 1, 0, 0, 0) + name + struct.pack("!HH", _A, _IN)


def read_answer(data: bytes, question: bytes) -> Answer:
    """The addresses that the question's name leads to, over its aliases. Raises BadAnswerError."""
    try:
        number, flags, questions, records, *_ = _HEADER.unpack_from(data)
        asked = data[_HEADER.size : len(question)]
        if number != _HEADER.unpack_from(question)[0] or not flags & 0x8000 or questions != 1:
            raise BadAnswerError("of another question")
        if asked.lower() != question[_HEADER.size :].lower():
            raise BadAnswerError("of another question")
        if flags & 0x0200:
            return Answer(flags & 0x000F, [], 0, is_cut_off=True)
        name, _ = _read_name(question, _HEADER.size)
        return _follow(data, len(question), min(records, MAX_RECORDS), name, flags & 0x000F)
    except (struct.error, IndexError) as exc:
        raise BadAnswerError("cut off") from exc


def _follow(data: bytes, at: int, records: int, name: bytes, code: int) -> Answer:
    addresses: dict[bytes, list[str]] = {}
    aliases: dict[bytes, bytes] = {}
    ttls: list[int] = []
    for _ in range(records):
        owner, at = _read_name(data, at)
        kind, of, ttl, size = _FIXED.unpack_from(data, at)
        at += _FIXED.size
        if at + size > len(data):
            raise BadAnswerError("cut off")
        if of == _IN and kind == _A and size == 4:
            addresses.setdefault(owner, []).append(str(ipaddress.IPv4Address(data[at : at + 4])))
            ttls.append(ttl)
        elif of == _IN and kind == _CNAME:
            aliases[owner], _ = _read_name(data, at)
            ttls.append(ttl)
        at += size
    for _ in range(MAX_JUMPS):
        if name not in aliases:
            break
        name = aliases[name]
    return Answer(code, addresses.get(name, []), min(ttls, default=0), is_cut_off=False)


def _read_name(data: bytes, at: int) -> tuple[bytes, int]:
    """A name in small letters, and where it ends. Raises BadAnswerError, IndexError."""
    labels: list[bytes] = []
    end = 0
    for _ in range(128 + MAX_JUMPS):
        size = data[at]
        if size == 0:
            return b".".join(labels).lower(), end or at + 1
        if size >= 0xC0:
            end = end or at + 2
            at = (size & 0x3F) << 8 | data[at + 1]
        elif size < 0x40:
            labels.append(data[at + 1 : at + 1 + size])
            at += 1 + size
        else:
            break
    raise BadAnswerError("a name without an end")
