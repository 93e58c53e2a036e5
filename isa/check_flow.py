"""Control flow of one stream: every target exists, loops nest, no branch crosses the edge of a loop body, and the stream ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from isa.tables import MAX_LOOPS
from isa.words import Instruction

Fail = Callable[[str, int, str], NoReturn]


def loop_of_each_word(stream: str, code: list[Instruction], fail: Fail) -> list[int]:
    """For each word the index of the innermost loop whose body holds it, or -1. Two loops may end at the same word."""
    out: list[int] = []
    stack: list[tuple[int, int]] = []
    for index, (mnemonic, operands) in enumerate(code):
        while stack and stack[-1][1] == index:
            stack.pop()
        out.append(stack[-1][0] if stack else -1)
        if mnemonic not in ("loop", "loopr"):
            continue
        end = index + operands["off"]
        if end < index + 2:
            fail(stream, index, "the end of a loop must stand after it, with at least one word in the body")
        if end >= len(code):
            fail(stream, index, f"the loop ends at word {end}, the stream has {len(code)} and must end with a halt behind the loop")
        if stack and end > stack[-1][1]:
            fail(stream, index, f"the loop ends at word {end}, behind the end {stack[-1][1]} of the loop around it (word {stack[-1][0]})")
        if len(stack) == MAX_LOOPS:
            fail(stream, index, f"more than {MAX_LOOPS} loops nest")
        stack.append((index, end))
    return out


def check_flow(stream: str, code: list[Instruction], fail: Fail) -> None:
    """Fails unless the flow of the stream is sound; an empty stream is."""
    if not code:
        return
    loop = loop_of_each_word(stream, code, fail)
    for index, (mnemonic, operands) in enumerate(code):
        if "off" not in operands or mnemonic in ("loop", "loopr"):
            continue
        target = index + operands["off"]
        if not 0 <= target < len(code):
            fail(stream, index, f"{mnemonic} goes to word {target}, the stream has words 0..{len(code) - 1}")
        if loop[target] != loop[index]:
            way = "out of" if loop[index] >= 0 and (loop[target] < loop[index]) else "into"
            hint = "to end one round, branch to a nop that is the last word of the body"
            fail(stream, index, f"{mnemonic} to word {target} leads {way} the body of a loop; {hint}")
    if code[-1].mnemonic != "halt":
        fail(stream, len(code) - 1, f"the last word is {code[-1].mnemonic}; end the stream with halt")
