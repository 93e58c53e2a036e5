"""The core's report of a failed run, as a message that says where and what to do."""

from __future__ import annotations

from typing import Any

from emu.errors import CapacityError, EmuError, ProgramError
from emu.machine.config import FORMATS, SCALES, SPACES, STREAMS
from emu.machine.waits import SHOWN, Blocked, alike, blocked_of, code_of, semaphore, why
from isa import IsaError, Program
from isa.check_sync import collect

ADVICE = {
    "uninitialised": "write the bytes first (wait for the token of the stream that does), or give the buffer the role in, weight or inout",
    "bounds": "check base, extents and strides of the descriptor against the buffer map",
    "accumulator": "overwrite first (accumulate 0), or accumulate in the format and at the places of what is there",
    "leftover": "signals and waits must balance at program end",
    "overflow": "let the consumer give tokens back so that the producer cannot run ahead without end",
    "runaway": "the program does not seem to end; if it should, raise max_instructions",
    "transfer": "use several instructions",
}


def core_name(program: Program, core: int) -> str:
    """`core 3`, or `chip 1, core 3`: cores of several chips are counted on."""
    return (f"chip {core // program.cores}, " if program.chips > 1 else "") + f"core {core % program.cores}"


def place(program: Program, core: int, stream: int, pc: int) -> str:
    """`core 3, mm, word 17: mm d0, d1, d2 (gemm.py:23)`."""
    if stream < 0:
        return "the program"
    name = STREAMS[stream]
    text = f"{core_name(program, core)}, " if core >= 0 else ""
    text += f"stream {name}"
    words = program.streams.get(name, [])
    if 0 <= pc < len(words):
        lines = program.lines.get(name, [])
        source = f"  [{lines[pc]}]" if pc < len(lines) and lines[pc] else ""
        text += f", word {pc}: {instruction(program, words[pc])}{source}"
    return text


def instruction(program: Program, word: int) -> str:
    """The word as the disassembler shows it, or in hexadecimal if it is none."""
    from isa.disassembler import show

    try:
        return show(word, program)
    except IsaError:
        return f"{word:#018x}"


def buffer_at(program: Program, space: int, lo: int) -> str:
    for b in program.buffers:
        if b.space == SPACES[space] and b.offset <= lo < b.offset + b.bytes:
            return f" (buffer {b.name!r} + {lo - b.offset})"
    return ""


def bytes_of(program: Program, space: int, lo: int, hi: int) -> str:
    """`sram bytes 0..63 (buffer 'a' + 0)`."""
    return f"{SPACES[space]} bytes {lo}..{hi - 1}{buffer_at(program, space, lo)}"


def explain(program: Program, info: dict[str, Any]) -> EmuError:
    """The exception for a failed run: what, where and what to do; of a race and a deadlock with a line for each that takes part."""
    code, where = info["code"], place(program, info["core"], info["stream"], info["pc"])
    if code == "memory":
        return CapacityError(f"{program.name}: {info['text']}")
    if code == "race":
        return ProgramError(f"{program.name}: {race(program, info)}")
    if code == "deadlock":
        return ProgramError(f"{program.name}: {waits(program, blocked_of(info['blocked'], program))}")
    detail = info["text"]
    if code in ("uninitialised", "bounds") and info["b"] > info["a"]:
        detail += f": {bytes_of(program, info['space'], info['a'], info['b'])}"
    elif code == "accumulator":
        other = place(program, info["core2"], info["stream2"], info["pc2"])
        kinds = f"adds {FORMATS[info['a']]} at {bytes_of(program, info['space'], info['lo'], info['hi'])}"
        detail += f": it {kinds}, and {other} wrote {FORMATS[info['b']]} at {bytes_of(program, info['space'], info['lo2'], info['hi2'])}"
    elif code == "leftover":
        where = core_name(program, info["core2"])
        detail = f"{semaphore(program, info['a'])} ends {info['b']:+d} against its initial count"
    elif code in ("overflow", "producer"):
        detail += f": {semaphore(program, info['a'])}"
    elif code == "user":
        detail = f"this user's instruction: {detail}"
    elif code == "format" and "class of operation" not in detail:
        detail += f" ({', '.join(FORMATS[number] for number in (info['a'], info['b']) if number >= 0)})"
    elif code == "scales":
        detail += f" ({', '.join(SCALES[number] for number in (info['a'], info['b']) if number >= 0)})"
    elif info["a"] or info["b"]:
        detail += f" ({info['a']}, {info['b']})"
    advice = ADVICE.get(code)
    return ProgramError(f"{program.name}: {where}: {detail}" + (f"; {advice}" if advice else ""))


def race(program: Program, info: dict[str, Any]) -> str:
    """Both accesses with their bytes, what they share, and the order that is missing."""
    space, other = info["space"], place(program, info["core2"], info["stream2"], info["pc2"])
    lo, hi = max(info["lo"], info["lo2"]), min(info["hi"], info["hi2"])
    kinds = ["write" if info["a"] & bit else "read" for bit in (1, 2)]
    owner = f" of {core_name(program, info['b'])}" if SPACES[space] in ("sram", "acc") else ""
    return (
        f"race on {bytes_of(program, space, lo, hi)}{owner}: nothing orders\n"
        f"  a {kinds[0]} of bytes {info['lo']}..{info['hi'] - 1} by {place(program, info['core'], info['stream'], info['pc'])}\n"
        f"  and a {kinds[1]} of bytes {info['lo2']}..{info['hi2'] - 1} by {other}\n"
        f"  the missing edge: {missing(program, info)}"
    )


def missing(program: Program, info: dict[str, Any]) -> str:
    """What would order the two: a token that one stream signals after its access and the other takes before its own."""
    sides = [(info["core" + n], STREAMS[info["stream" + n]], info["pc" + n]) for n in ("2", "")]
    (core, stream, _), (other, _, _) = sides
    if sides[0][:2] == sides[1][:2]:
        return f"a fence on {stream} between word {sides[0][2]} and word {sides[1][2]}"
    producers, consumers, _ = collect(code_of(program))

    def edge(first: tuple[int, str, int], then: tuple[int, str, int]) -> str:
        names = [s.name for s in program.semaphores if first[1] in producers.get(s.id, ()) and then[1] in consumers.get(s.id, ())]
        shown = ", ".join(map(repr, names[:4]))
        there = f"{shown} go{'' if len(names) > 1 else 'es'} that way" if names else "no semaphore goes that way"
        at = ["" if core == other else f" of {core_name(program, side[0])}" for side in (first, then)]
        token = f"a token that {first[1]}{at[0]} signals at or after word {first[2]} ({there})"
        return f"{then[1]}{at[1]} takes, before word {then[2]}, {token}"

    return f"{edge(*sides)}, or the other way round: {edge(*reversed(sides))}"


def waits(program: Program, blocked: list[Blocked]) -> str:
    """Who waits for what, those in the cycle first, and why that does not end."""
    reason, first = why(program, blocked)
    rest = [b for b in blocked if b not in first]
    groups = [*([b] for b in first), *alike(rest)]
    lines = [f"deadlock, nobody can go on: {reason}"]
    for group in groups[:SHOWN]:
        b = group[0]
        what = f"barrier {b.on}, where {b.has} of {b.wants} have arrived"
        if b.state == "semaphore":
            what = f"{b.wants} of {semaphore(program, b.on)}, which has {b.has}"
        many = ", ..." if len(group) > SHOWN else ""
        others = ", ".join(str(o.at.core) if o.at.chip is None else f"{o.at.core} of chip {o.at.chip}" for o in group[1:SHOWN]) + many
        core = b.at.core + (b.at.chip or 0) * program.cores
        more = f" (the same on core {others})" if others else ""
        lines.append(f"{place(program, core, STREAMS.index(b.at.stream), b.pc)} waits for {what}{more}")
    if len(groups) > SHOWN:
        lines.append(f"and {sum(map(len, groups[SHOWN:]))} more streams wait")
    return "\n  ".join(lines)
