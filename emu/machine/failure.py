"""The core's report of a failed run, as a message that says where and what to do."""

from __future__ import annotations

from typing import Any

from emu.errors import CapacityError, EmuError, ProgramError
from emu.machine.config import FORMATS, SCALES, SPACES, STREAMS
from isa import IsaError, Program

ADVICE = {
    "uninitialised": "write the bytes first, or give the buffer the role in, weight or inout",
    "bounds": "check base, extents and strides of the descriptor against the buffer map",
    "race": "order the two with a semaphore or a barrier",
    "deadlock": "every wait needs a signal that can happen before it",
    "leftover": "signals and waits must balance at program end",
    "overflow": "let the consumer give tokens back so that the producer cannot run ahead without end",
    "runaway": "the program does not seem to end; if it should, raise max_instructions",
    "transfer": "use several instructions",
}


def place(program: Program, core: int, stream: int, pc: int) -> str:
    """`core 3, mm, word 17: mm d0, d1, d2 (gemm.py:23)`."""
    if stream < 0:
        return "the program"
    name = STREAMS[stream]
    chip = f"chip {core // program.cores}, " if program.chips > 1 else ""
    text = f"{chip}core {core % program.cores}, " if core >= 0 else ""
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


def semaphore(program: Program, number: int) -> str:
    return next((f"semaphore {s.name!r} ({number})" for s in program.semaphores if s.id == number), f"semaphore {number}")


def explain(program: Program, info: dict[str, Any]) -> EmuError:
    """The exception for a failed run; its message is one paragraph."""
    code, where = info["code"], place(program, info["core"], info["stream"], info["pc"])
    if code == "memory":
        return CapacityError(f"{program.name}: {info['text']}")
    detail = info["text"]
    if code in ("uninitialised", "bounds") and info["b"] > info["a"]:
        space = info["space"]
        detail += f": {SPACES[space]} bytes {info['a']}..{info['b'] - 1}{buffer_at(program, space, info['a'])}"
    elif code == "race":
        other = place(program, info["core2"], info["stream2"], info["pc2"])
        space = info["space"]
        overlap = f"{SPACES[space]} bytes {info['lo']}..{info['hi'] - 1}{buffer_at(program, space, info['lo'])}"
        detail += f" with {other}; both touch {overlap}, and nothing orders them"
    elif code == "leftover":
        chip = f"chip {info['core2'] // program.cores}, " if program.chips > 1 else ""
        where = f"{chip}core {info['core2'] % program.cores}"
        detail = f"{semaphore(program, info['a'])} ends {info['b']:+d} against its initial count"
    elif code == "deadlock":
        where, detail = "nobody can go on", waits(program, info["blocked"])
    elif code in ("overflow", "producer"):
        detail += f": {semaphore(program, info['a'])}"
    elif code == "format" and "class of operation" not in detail:
        detail += f" ({', '.join(FORMATS[number] for number in (info['a'], info['b']) if number >= 0)})"
    elif code == "scales":
        detail += f" ({', '.join(SCALES[number] for number in (info['a'], info['b']) if number >= 0)})"
    elif info["a"] or info["b"]:
        detail += f" ({info['a']}, {info['b']})"
    advice = ADVICE.get(code)
    return ProgramError(f"{program.name}: {where}: {detail}" + (f"; {advice}" if advice else ""))


def waits(program: Program, blocked: list[tuple[int, int, int, str, int]]) -> str:
    """Who waits for what, the first eight of them."""
    parts = []
    for core, stream, pc, state, on in blocked[:8]:
        what = semaphore(program, on) if state == "semaphore" else f"barrier {on}" if state == "barrier" else state
        parts.append(f"{place(program, core, stream, pc)} waits for {what}")
    if len(blocked) > 8:
        parts.append(f"and {len(blocked) - 8} more streams wait")
    return "deadlock: " + "; ".join(parts)
