"""Programs of several chips by hand: small enough to say what must come out."""

from __future__ import annotations

import emu
import isa
from emu.machine.fabric import Fabric, Wire

CHIP = emu.chip("tiny").vary({"links.ring.queues": 4})
GBPS = 10**9
NS = 10**6
KINDS = {
    "switch": lambda n: Fabric(n, "switch", 8 * GBPS, 500 * NS),
    "mesh": lambda n: Fabric(n, "mesh", 8 * GBPS, 500 * NS),
    "ring": lambda n: Fabric(n, "torus", 8 * GBPS, 500 * NS, (n,), (True,)),
    "line": lambda n: Fabric(n, "torus", 8 * GBPS, 500 * NS, (n,), (False,)),
}


def machine(fabric: Fabric, check: bool = True) -> emu.Machine:
    return emu.Machine(CHIP, check=check, fabric=fabric)


def program(chips: int, body: str, words: int = 64, params: tuple[str, ...] = (), head: str = "", token: bool = True) -> isa.Program:
    """x and y of `words` fp32, and one core with one net stream."""
    rows = "\n".join(f".param {j} {row}" for j, row in enumerate(params))
    return isa.assemble(f"""
        .program sends
        .cores 1
        .chips {chips}
        .buffer x hbm 0x0 {4 * words} in fp32 {words}
        .buffer y hbm 0x100000 {4 * words} out fp32 {words}
        {".sem 1 here 0" if token else ""}
        {head}
        {rows}
        .stream net0
            dset d1.n0, {words}
            dset d0.base, 0x100000
            dset d0.n0, {words}
            dset d0.space, far
            {body}
            halt
    """)


def shifted(chips: int, by: int, words: int = 64, flags: str = "") -> isa.Program:
    """Every chip sends its x to the y of the chip `by` further round."""
    to = ",".join(str((c + by) % chips) for c in range(chips))
    return program(chips, f"ldp r1, 0\n dsetr d0.core, r1, 0\n put d0, d1 signal=here {flags}\n wait here, 1", words, (to,))


WIRES = {"ll": Wire(8, 4, 2 * GBPS, GBPS, 100 * NS), "ll128": Wire(128, 8, 4 * GBPS)}
