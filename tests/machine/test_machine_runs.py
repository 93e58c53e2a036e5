"""Runs among other things: signals, threads, tokens that run ahead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
import isa
from emu.kernels.gemm import GemmTiling, gemm
from emu.kernels.lang import Tracer

TINY = emu.chip("tiny")
# Loops of scalar instructions alone end by themselves, as running away.
LONG = ".program long\n.buffer x hbm 0 64 in int8 64\n.buffer s sram 0 64 temp\n{body}"
LOOPS = {
    "transfers": ".stream ld0\n dset d0.space, sram\n loop 1000000000, e\n dma d0, d1\ne:\n halt\n",
    "tokens": ".sem 1 s 0\n.stream mm\n loop 1000000000, e\n signal s, 1\n wait s, 1\ne:\n halt\n",
}


def long_program(kind: str) -> isa.Program:
    head, _, tail = LOOPS[kind].partition(".stream")
    return isa.assemble(LONG.format(body=head + ".stream" + tail))


@pytest.mark.parametrize("kind", LOOPS)
def test_ctrl_c_ends_a_long_run_within_a_second(kind):
    program = long_program(kind)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    begin = time.monotonic()
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            emu.Machine(TINY).run(program, values=False)
    finally:
        timer.cancel()
    assert time.monotonic() - begin < 3


def test_what_a_signal_handler_raises_arrives():
    class Alarm(Exception):
        pass

    def ring(*_):
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(Alarm):
            emu.Machine(TINY).run(long_program("transfers"), values=False)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_in_a_process_ends_it_with_130(tmp_path):
    path = tmp_path / "long.s"
    path.write_text(long_program("transfers").to_text())
    child = subprocess.Popen([sys.executable, "-m", "emu", "run", str(path), "--chip", "tiny", "--no-values"], stderr=subprocess.PIPE)
    time.sleep(4)
    child.send_signal(signal.SIGINT)
    assert child.wait(5) in (130, 2) and child.stderr is not None


STREAMED = GemmTiling(16, 8, 16, 2, 2, False)


def small_gemm(m=40, n=24, k=20, fmt="bf16", tiling=STREAMED):
    t = Tracer(TINY, "gemm")
    x, w, y = t.hbm("x", (m, k), fmt, "in"), t.hbm("w", (k, n), fmt, "weight"), t.hbm("y", (m, n), "fp32", "out")
    gemm(t, x, w, y, tiling)
    return t.program()


def test_threads_run_machines_at_the_same_time():
    program = small_gemm()
    rng = np.random.default_rng(0)
    shapes = {"x": (40, 20), "w": (20, 24)}
    given_inputs = [{n: rng.standard_normal(s).astype(ml_dtypes.bfloat16) for n, s in shapes.items()} for _ in range(4)]
    want = [emu.Machine(TINY).run(program, g).outputs["y"].tobytes() for g in given_inputs]
    got: list[bytes] = [b""] * 4

    def work(j):
        for _ in range(5):
            got[j] = emu.Machine(TINY).run(program, given_inputs[j]).outputs["y"].tobytes()

    threads = [threading.Thread(target=work, args=(j,)) for j in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == want


RUN_AHEAD = """
.program ahead
.sem 1 s 0
.stream mm
 loop {n}, e
{slow} signal s, 1
e:
 halt
.stream vec
 loop {n}, e
 wait s, 1
 {work}
e:
 halt
"""


@given(st.integers(65500, 66500), st.integers(0, 3), st.integers(0, 3), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_overflow_is_decided_in_time_and_not_in_the_order_of_processing(n, produce, consume, seed):
    """The producer signals every 1 + produce clocks, the consumer takes every 1 + consume clocks at best: simulated by hand."""
    program = isa.assemble(RUN_AHEAD.format(n=n, slow=" nop\n" * produce, work="nop\n " * consume + "nop"))
    issue = produce + 0  # signals cost nothing themselves; what stands between them does
    signals = [(j + 1) * issue + 1 for j in range(n)]
    overflow = _overflows(signals, consume + 1)
    machine = emu.Machine(TINY)
    if overflow:
        with pytest.raises(emu.ProgramError, match="65535"):
            machine.run(program, values=False, order_seed=seed)
    else:
        assert machine.run(program, values=False, order_seed=seed).counters["sync_events"] == 2 * n


def _overflows(signals, consumer_step):
    taken, now = [], 1
    for s in signals:
        now = max(now, s + 1)  # a token can be taken one clock after its signal
        taken.append(now)
        now += consumer_step
    there = done = 0
    for j, s in enumerate(signals):
        while done < j and taken[done] <= s:
            done += 1
        there = j + 1 - done
        if there > 65535:
            return True
    return False
