"""Does the race checker find exactly the races that a look at every pair of bytes finds?"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import emu
import isa
from emu.testing import checked, programs, races

CHIP = emu.chip("tiny").vary({"core.dma.load_queues": 4, "core.dma.store_queues": 2})
MACHINE = emu.Machine(CHIP, check=True)
X = {"x": np.arange(512, dtype=np.int64).astype(np.int8)}


def place(text: str) -> tuple[int, str, int]:
    """`core 0, stream ld1, word 7: ...`"""
    core, stream, word = text.split(",")[:3]
    return int(core.split()[1]), stream.split()[1], int(word.split()[1].rstrip(":"))


def test_the_checker_agrees_with_a_look_at_every_pair() -> None:
    """In whatever legal order the streams are run, and the pair it names is one of those that race."""
    tried = {True: 0, False: 0}

    @checked(400)
    @given(programs(shared=True), st.integers(0, 3))
    def agrees(program: isa.Program, seed: int) -> None:
        found = races(program, X)
        tried[bool(found)] += 1
        try:
            MACHINE.run(program, X, order_seed=seed)
        except emu.ProgramError as error:
            assert found, f"a false alarm: {error}"
            message = str(error)
            if "race on" in message:  # else the byte that nobody wrote: its writer came later
                _, a, b, _ = message.split("\n")
                pair = frozenset(place(line.split(" by ")[1]) for line in (a, b))
                assert pair in found, f"{message}\nis none of {found}"
        else:
            assert not found, f"missed: {found}"

    agrees()
    assert min(tried.values()) > 100, tried
