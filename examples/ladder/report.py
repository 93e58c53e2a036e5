"""What every step of the ladder prints: values against NumPy, cycles, joules, the bound, and what the busiest engine waited for most."""

import numpy as np


def bound(run):
    """Cycles that no mapping can beat: products over the matrix peak, or bytes that must enter and leave over the memory's bandwidth."""
    chip, counters = run.chip, run.counters
    macs = sum(n / chip.peak_flops(name[12:]) for name, n in counters.items() if name.startswith("useful_macs_") and n)
    moved = sum(b.bytes for b in run.program.buffers if b.space == "hbm" and b.role != "temp")
    cycles = {"compute": 2 * macs * chip.core.clock_hz, "memory": moved / chip.hbm.bandwidth_bytes_per_s * chip.core.clock_hz}
    by = max(cycles, key=cycles.get)
    return cycles[by], by


def largest_stall(run):
    """The engine that worked most, and the cause that kept it waiting longest."""
    engine = max(run.stalls, key=lambda name: run.stalls[name].get("busy_s", 0))
    causes = {c: s for c, s in run.stalls[engine].items() if c != "busy_s"}
    whole, cause = sum(run.stalls[engine].values()), max(causes, key=causes.get)
    return f"{engine} busy {run.stalls[engine]['busy_s'] / whole:.0%}, largest stall: {cause[:-2]} {causes[cause] / whole:.0%}"


def show(title, run, want, name="y", within=2e-2):
    """One line; the values must be those of NumPy within what the formats allow."""
    error = np.abs(run.outputs[name].astype(np.float32) - want).max() / np.abs(want).max()
    assert error < within, f"{title}: largest error {error:.1e} of the largest value"
    cycles, by = bound(run)
    print(f"{title:24s} {run.cycles:9,d} cycles  {run.cycles / cycles:6.2f} x bound ({by})  {run.joules * 1e6:7.2f} uJ  error {error:.0e}")
    print(f"{'':24s} {largest_stall(run)}")
    return run
