"""Named address maps. A map lists the fields of a burst's place from the highest address bits to the lowest, and what is hashed.

`column:2` takes the two lowest column bits that are left, a bare name all that are left. After a semicolon, `group bank ^ row` flips the
bits of group, then bank, from the lowest, with those of row, from the lowest; `^^` goes round, so that every bit of row flips one.
`column[2:]` leaves out the two lowest bits. Every bit of a place is thus the parity of some address bits; as the fields are permuted and a
hash only adds fields that no hash changes, no two addresses share a place."""

from __future__ import annotations

import re
from collections.abc import Mapping

from emu.errors import ChipError, did_you_mean

FIELDS = ("column", "bank", "group", "rank", "pseudo", "row", "channel")  # from the lowest bit of the core's packed place
MAPS = {
    # Four bursts of a row, then the next channel, pseudo-channel, group; rows of all groups are streamed together. Strides are hashed:
    # every bit of row takes part in the choice of the channel and in that of the bank, every bit of column in that of channel or group.
    "stream": "row rank bank column group pseudo channel column:2; "
              "channel pseudo group ^^ column[2:]; channel ^^ row; pseudo group bank rank ^^ row",
    # The same for a channel that a chip has interleaved already: there are no bits of channel to hash, and every bit of row takes part in
    # the choice of pseudo-channel or group and in that of the bank, so that streams which begin at powers of two keep to different banks.
    "streams": "row rank bank column group pseudo channel column:2; "
               "channel pseudo group ^^ column[2:]; channel pseudo group ^^ row; bank rank ^^ row",
    # Four bursts of a row, then the next bank of all; after Ramulator's MOP4CLXOR.
    "mop": "row column bank group rank pseudo channel column:2; pseudo rank group bank ^ column",
    # A row at a time, the banks in turn.
    "robaracoch": "row bank group rank pseudo column channel",
    "rorabgbachco": "row rank group bank pseudo channel column",
    # A bank at a time: what contiguous allocation without interleaving gives.
    "chrabaroco": "channel pseudo rank group bank row column",
}
DEFAULT = "stream"
_TOKEN = re.compile(r"([a-z]+)(?::(\d{1,2}))?\Z")
_SOURCE = re.compile(r"([a-z]+)(?:\[(\d{1,2}):\])?\Z")


def masks(name: str, widths: Mapping[str, int], burst_bits: int, text: str | None = None) -> list[int]:
    """For each bit of the packed place the address bits whose parity it is. `widths`: bits of each field. ChipError for a bad map."""
    if text is None:
        if name not in MAPS:
            raise ChipError(f"no address map is named {str(name)[:60]!r}; {did_you_mean(str(name), MAPS)}")
        text = MAPS[name]
    order, *hashes = text.split(";")
    bits = _places(order, widths, burst_bits, name)
    parsed = [_hash(h, name) for h in hashes]
    for targets, _, source, _ in parsed:
        if any(source in others for others, *_ in parsed) or len(set(targets)) != len(targets):
            raise ChipError(f"map {name}: a field that is hashed cannot hash another one, or twice; two addresses might share a place")
    for targets, folded, source, skip in parsed:
        _flip([(f, j) for f in targets for j in range(widths[f])], bits, bits[source][skip:], folded)
    return [bits[f][j] for f in FIELDS for j in range(widths[f])]


def _places(order: str, widths: Mapping[str, int], at: int, name: str) -> dict[str, list[int]]:
    """Address bit of each bit of each field, as masks."""
    bits: dict[str, list[int]] = {f: [] for f in FIELDS}
    for token in reversed(order.split()):
        found = _TOKEN.match(token)
        if not found or found[1] not in FIELDS:
            raise ChipError(f"map {name}: {token[:40]!r} is no field; {did_you_mean(token.split(':')[0][:40], FIELDS)}")
        field = found[1]
        left = widths[field] - len(bits[field])
        take = min(left, int(found[2])) if found[2] else left
        bits[field] += [1 << (at + j) for j in range(take)]
        at += take
    missing = [f for f in FIELDS if len(bits[f]) < widths[f]]
    if missing:
        raise ChipError(f"map {name}: not all bits of {', '.join(missing)} have a place; name each field once without a number")
    return bits


def _hash(text: str, name: str) -> tuple[list[str], bool, str, int]:
    """(fields hashed, whether going round, field they are hashed with, bits of it left out)."""
    left, sign, right = (part.strip() for part in re.split(r"(\^\^?)", text, maxsplit=1)) if "^" in text else (text, "", "")
    found = _SOURCE.match(right)
    for field in (*left.split(), found[1] if found else right):
        if field not in FIELDS:
            raise ChipError(f"map {name}: {field[:40]!r} is no field; {did_you_mean(field[:40], FIELDS)}")
    assert found
    return left.split(), sign == "^^", found[1], int(found[2] or 0)


def _flip(targets: list[tuple[str, int]], bits: dict[str, list[int]], source: list[int], folded: bool) -> None:
    for j, mask in enumerate(source if folded else source[:len(targets)]):
        if targets:
            field, bit = targets[j % len(targets)]
            bits[field][bit] ^= mask
