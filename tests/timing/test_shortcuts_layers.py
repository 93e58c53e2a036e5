"""Is a whole model the same with whole layers skipped? Descriptors serve one operation as rings and another as plain tiles."""

import emu
from emu.machine import Machine
from emu.mapper import choose, lower
from emu.study.sample import inputs_for


def test_layers_of_a_large_model():
    chip, model = emu.chip("jalapeno"), emu.model("llama-3-8b")
    graph = model.graph("prefill", 8, 512, 512, "bf16", None, 639)
    lowered = lower(graph, chip, choose(graph, chip), 6)
    given = inputs_for(model, graph, 0, {b.name for b in lowered.program.buffers})
    long = Machine(chip).run(lowered.program, given, values=False, verify=False)
    short = Machine(chip).run(lowered.program, given, values=False, verify=False, folding=True, fast_forward=True)
    assert short.raw["end_fs"] == long.raw["end_fs"] and short.counters == long.counters and short.raw["releases"] == long.raw["releases"]
    assert short.stalls == long.stalls and short.stalls_root == long.stalls_root
