"""Is an instruction of one's own checked like any other, refused by name where it is not known, and at home in kernels?"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from extension_support import MINE, vdecay, vsoftcap, vswiglu, vtop

import emu
import isa
from emu.num import jit as num
from isa.oracle import run as interpret

TINY = emu.Machine("tiny")
BODY = """
.program one
.cores 1
.buffer x hbm 0x0 256 in fp32 64
.buffer y hbm 0x1000 256 out fp32 64
.buffer t sram 0x0 512 temp
.sem 1 full 0
.sem 2 done 0
.stream vec
        dset d0.space, sram
        dset d1.space, sram
        dset d0.n0, 64
        dset d0.base, 256
        dset d1.n0, 64
        dset d2.scalar, 30.0
        {vec}
        halt
.stream ld0
        dset d0.space, sram
        dset d0.n0, 64
        dset d1.n0, 64
        dma d0, d1 signal=full
        halt
.stream st0
        dset d0.base, 0x1000
        dset d1.space, sram
        dset d1.base, 256
        dset d0.n0, 64
        dset d1.n0, 64
        dma d0, d1 wait=done
        halt
"""
X = {"x": np.linspace(-90, 90, 64, dtype=np.float32)}


def one(vec: str = "vsoftcap d0, d1, d2 wait=full signal=done") -> isa.Program:
    return isa.assemble(BODY.format(vec=vec), MINE)


def refused(program: isa.Program, *parts: str, **how) -> None:
    with pytest.raises(emu.EmuError) as caught:
        TINY.run(program, X, check=True, **how)
    for part in parts:
        assert part in str(caught.value)


def test_it_runs():
    run = TINY.run(one(), X, check=True)
    assert np.abs(run.outputs["y"] - 30 * np.tanh(X["x"] / 30)).max() < 1e-5
    assert run.outputs["y"].tobytes() == interpret(one(), X)["y"].tobytes()


def test_checks_are_those_of_any_instruction():
    vec = "vsoftcap d0, d1, d2"
    refused(one(f"dset d1.base, 4\n        {vec} wait=full signal=done"), "nobody wrote", "vsoftcap d0, d1, d2", "line 17", "buffer 't'")
    refused(one(f"dset d0.base, 320\n        {vec} wait=full signal=done"), "outside every buffer", "sram bytes 320..575", "vsoftcap")
    refused(one(f"dset d1.space, hbm\n        {vec} wait=full signal=done"), "no port", "vsoftcap")
    unordered = one(f"wait full, 1\n        {vec} signal=done\n        {vec}")
    refused(unordered, "race", "vsoftcap d0, d1, d2", "dma d0, d1", "buffer 't'")
    refused(one(f"{vec} wait=full\n        {vec} wait=full signal=done"), "deadlock", "vsoftcap", "'full'")


def test_unknown_words_are_refused_by_name():
    program = one()
    with pytest.raises(emu.ProgramError, match="unknown opcode 0xc0 .* the instruction set 'machine' does not have"):
        TINY.run(isa.Program(**{**vars(program), "instructions": isa.words.MACHINE}), X)
    bare = emu.InstructionSet("bare")
    bare.add(vsoftcap.extension.spec.row)
    with pytest.raises(emu.UnsupportedError, match="vsoftcap: added by its table line alone"):
        TINY.run(isa.Program(**{**vars(program), "instructions": bare}), X)
    with pytest.raises(isa.IsaError, match="'vsoftcap' of the instruction set 'bare' is not the one"):
        isa.Program.from_bytes(program.to_bytes(), bare)
    assert re.search(rf"^\.extension vsoftcap {vsoftcap.digest}$", program.to_text(), re.M)


def declare(meaning=None, known=None, **how):
    """vsoftcap once more, with something else."""
    how = {"operands": "d0:w, d1:r, d2:s", "cycles": "elements", "energy": "1 pJ", "name": "vsoftcap"} | how
    return emu.instruction(known or emu.InstructionSet(), **how)(meaning or MINE.extensions["vsoftcap"].meaning)


def helper_a(x):
    return x


def helper_b(x):
    return x + 0


def test_digests_tell_meanings_apart():
    def with_(constant, helper):
        def meaning(x, c):
            """The same text."""
            return helper(x) * num.f32(constant) + c

        return meaning

    declared = [
        declare(), declare(cycles="2 * elements"), declare(energy="2 pJ"), declare(engine="mm"), declare(operands="d0:w, d1:r, d2:r"),
        declare(with_(1.0, helper_a)), declare(with_(2.0, helper_a)), declare(with_(1.0, helper_b)), declare(pointer=1, version="1"),
        declare(pointer=1, version="2"), declare(opcode=0xD0), declare(lambda x, c: x), declare(lambda x, c: c),
    ]
    assert len({one.digest for one in declared}) == len(declared)
    assert declare(with_(1.0, helper_a)).digest == declare(with_(1.0, helper_a)).digest
    code = "import extension_support as s; print(*(e.digest for e in s.MINE.extensions.values()))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    assert other.stdout.split() == [e.digest for e in MINE.extensions.values()]  # the same in every process
    known = emu.InstructionSet()
    again = declare(known=known)  # a cell of a notebook run again: the same instruction, and its newest code
    assert known.extensions["vsoftcap"].engine is again and again.digest == declare(known=known).digest
    with pytest.raises(emu.ProgramError, match="taken by 'vsoftcap'"):
        declare(known=known, cycles="1")


@pytest.mark.parametrize(("how", "says"), [
    ({"cycles": "elements / exp_per_clock"}, "vsoftcap: 'exp_per_clock' means nothing here; did you mean 'exp_per_clk'"),
    ({"cycles": "elements * 2 pJ"}, "vsoftcap: .*cannot read"),
    ({"energy": "exp_per_clk"}, "vsoftcap: 'exp_per_clk' means nothing here"),
    ({"energy": "__import__('os')"}, "vsoftcap: .*cannot read"),
    ({"cycles": "max(elements"}, "expected ',?[)]'"),
    ({"cycles": "ceil(1, 2)"}, "ceil.. takes one value, not 2"),
    ({"cycles": " + ".join(["1"] * 40)}, "more than 48"),
    ({"engine": "dma"}, "engine 'dma'.*vec or mm"),
    ({"per": "tile"}, "per 'tile'"),
    ({"operands": "d0:w"}, "expected d0:w or d0:rw, d1:r"),
    ({"operands": "d0:w, d1:r"}, "it takes 1 values, and has 2 parameters"),
    ({"operands": "d0:w, d1:r, d2:s, imm"}, "imm puts a number"),
    ({"operands": "d0:w, d1:r, d2:s, fast"}, "'fast' is no flag"),
    ({"opcode": 0x60}, "users' opcodes are 0xc0..0xff"),
    ({"name": "vadd"}, "taken by 'vadd'"),
    ({"name": "soft cap"}, "'soft cap' is no name for an instruction"),
    ({"pointer": 4096}, "give it a version"),
    ({"pointer": "here", "version": "1"}, "pointer: expected an address"),
])  # fmt: skip
def test_wrong_declarations_say_what_is_wrong(how, says):
    with pytest.raises(emu.EmuError, match=says):
        declare(**how)


def run_one(instruction, chip="tiny", values=True):
    text = BODY.format(vec=f"{instruction.name} d0, d1{', d2' if 'd2' in instruction.access else ''} wait=full signal=done")
    return emu.Machine(chip).run(isa.assemble(text, instruction.set), X if values else {}, values=values)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Numba says it to stderr too
def test_what_goes_wrong_while_it_runs():
    def raises(x):
        """Refuses."""
        if x > 0:
            raise ValueError("no")
        return x

    def untyped(x):
        """Not for Numba."""
        return {"a": x}.popitem()[0]

    for meaning, how, says in (
        (raises, {}, "word 6: raises d0, d1 .*its function failed or raised"),
        (untyped, {}, "untyped: Numba cannot compile its meaning"),
        (helper_a, {"cycles": "elements - 65"}, "its cycles are negative"),
        (helper_a, {"cycles": "1 / (elements - 64)"}, "its cycles divide by zero"),
        (helper_a, {"energy": "elements * 999999 pJ"}, "draws more than 10 uJ"),
        (helper_a, {"cycles": "elements * 999999999 * 999999999 * 999999999"}, "beyond 64 bits"),
    ):
        costs = {"cycles": "1", "energy": "0"} | how
        own = emu.instruction(emu.InstructionSet(), name=meaning.__name__, **costs)(meaning)
        with pytest.raises(emu.EmuError, match=says):
            run_one(own, values=not how)  # what costs get wrong shows in time alone


def test_a_chip_may_lack_what_an_expression_names():
    rates = {c: 0.0001 if c == "gather" else 16 for c in emu.chip("tiny").core.vector.per_clk}
    chip = emu.chip("tiny").vary({"core.vector.per_clk": rates})
    with pytest.raises(emu.UnsupportedError, match="its cycles need gather_per_clk, and the vector engine of tiny"):
        run_one(emu.instruction(emu.InstructionSet(), cycles="elements / gather_per_clk", energy="0", name="own")(helper_a), chip)


TWICE = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.POINTER(ctypes.c_float), ctypes.c_int64, ctypes.POINTER(ctypes.c_float), ctypes.c_int64, ctypes.c_void_p,
    ctypes.c_int64, ctypes.c_float,
)  # fmt: skip


@TWICE
def twice_in_c(out, n, a, n_a, b, n_b, scalar):
    for i in range(n):
        out[i] = a[i] * 2
    return 1


def capsule():
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(ctypes.cast(twice_in_c, ctypes.c_void_p), b"emu_user_fn", None)


ADDRESS = ctypes.cast(twice_in_c, ctypes.c_void_p).value


@pytest.mark.parametrize("pointer", [twice_in_c, ADDRESS, capsule()], ids=["ctypes", "address", "capsule"])
def test_compiled_code_of_the_users_own(pointer):
    def twice(x):
        """d0 = 2 d1"""
        return x * num.f32(2)

    own = emu.instruction(emu.InstructionSet(), cycles="1", energy="0", pointer=pointer, version="1")(twice)
    run = run_one(own)
    assert np.array_equal(run.outputs["y"], 2 * X["x"])
    assert run.outputs["y"].tobytes() == interpret(run.program, X)["y"].tobytes()


def test_one_line_holds_compiled_code_against_its_meaning():
    for extension in MINE.extensions.values():
        extension.engine.check(trials=10)

    def halved(x):
        """A third of it, in double precision: not what NumPy's fp32 numbers give."""
        return x * 0.3333

    with pytest.raises(emu.ProgramError, match="differs from what its meaning says. Is a constant a plain Python number"):
        emu.instruction(emu.InstructionSet(), cycles="1", energy="0")(halved).check()

    def another(x):
        """d0 = 3 d1, which is not what the pointer computes"""
        return x * num.f32(3)

    with pytest.raises(emu.ProgramError, match="trial 0 of seed 0"):
        emu.instruction(emu.InstructionSet(), cycles="1", energy="0", pointer=twice_in_c, version="1")(another).check()


@emu.kernel
def everything(k, rows: int, width: int) -> None:
    x, y = k.hbm("x", (rows, width), "bf16", "in"), k.hbm("y", (rows, width), "fp8_e4m3", "out")
    best = k.hbm("best", (rows, 3), "fp32", "out")
    for i in k.loop(-(-rows // 4)):
        t = k.fetch(x.at((i * 4, 0), (4, width)), 2)
        capped = k.tile((4, width), "fp32", valid=t.valid)
        total = k.tile((4, width), "fp32", valid=t.valid)
        top = k.tile((4, 3), "fp32", depth=2, valid=(t.valid[0], 3))
        out = k.tile((4, width), "fp8_e4m3", depth=2, valid=t.valid)
        vsoftcap(k, capped, t, 2.0)
        k.fill(total, 0.5)
        vdecay(k, total, capped, 0.25)
        vdecay(k, total, t, capped)
        vtop(k, top, total)
        vswiglu(k, out, total, top[:, 0:1])
        k.store(y.at((i * 4, 0), (4, width)), out)
        k.store(best.at((i * 4, 0), (4, 3)), top)


def test_in_a_kernel_on_any_chip():
    program = everything.trace(emu.chip("tiny"), cores=1, rows=10, width=9)
    import ml_dtypes

    x = {"x": np.random.default_rng(0).standard_normal((10, 9)).astype(ml_dtypes.bfloat16)}
    run, want = TINY.run(program, x, check=True), interpret(program, x)
    assert all(run.outputs[name].tobytes() == want[name].tobytes() for name in want)
    assert program.instructions is MINE and "test_extension_programs.py" in program.lines["vec"][-3]
    jalapeno = everything.trace(emu.chip("jalapeno"), cores=1, rows=10, width=9)
    assert emu.Machine("jalapeno").run(jalapeno, x).outputs["y"].tobytes() == want["y"].tobytes()


def test_kernels_say_what_they_cannot_emit():
    k = emu.kernels.Tracer(emu.chip("tiny"))
    k.begin_only_op()
    t = k.fetch(k.hbm("x", (4, 4), "fp32", "in"))
    o = k.tile((4, 4), "fp32")
    other = emu.instruction(emu.InstructionSet("other"), cycles="1", energy="0", name="own")(helper_a)
    vsoftcap(k, o, t, 1.0)
    for call, says in (
        (lambda: vsoftcap(k, o, t), "takes a destination, an operand and another one or a number; got 1"),
        (lambda: vsoftcap(k, o, t, t), "d2 is a number"),
        (lambda: vtop(k, o, t, 1.0), "takes a destination, an operand; got 2"),
        (lambda: other(k, o, t), "one instruction set: this one uses 'mine' and now 'other'"),
    ):
        with pytest.raises(emu.ProgramError, match=says):
            call()


def test_numba_is_imported_when_something_is_compiled_and_not_before():
    code = """
import sys, emu
mine = emu.InstructionSet()
@emu.instruction(mine, cycles="1", energy="0")
def own(x):
    return x
assert "numba" not in sys.modules
print(own.address > 0, "numba" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_every_semaphore_around_it_is_needed():
    """Taking any one wait or signal out of a kernel with instructions of one's own is noticed, as it is elsewhere (tests/kernels)."""
    program = everything.trace(emu.chip("tiny"), cores=1, rows=10, width=9)
    x = {"x": np.ones((10, 9), np.float32)}
    TINY.run(program, x, check=True)
    mutants = []
    for stream, words in program.streams.items():
        for at, word in enumerate(words):
            mnemonic, operands = MINE.decode(word)
            changed = [MINE.encode(mnemonic, **{**operands, which: 0}) for which in ("wait", "signal") if operands.get(which)]
            changed += [MINE.encode("nop")] if mnemonic in ("wait", "signal") else []
            mutants += [(stream, at, new, mnemonic) for new in changed]
    for stream, at, new, _ in mutants:
        words = program.streams[stream]
        program.streams[stream] = [*words[:at], new, *words[at + 1 :]]
        with pytest.raises(emu.EmuError):
            TINY.run(program, x, check=True)
        program.streams[stream] = words
    assert {"vsoftcap", "vswiglu"} <= {mnemonic for *_, mnemonic in mutants}
