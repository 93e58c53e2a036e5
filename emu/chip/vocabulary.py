"""The names a chip file may use for formats, operation classes and events. A test holds them equal to the instruction set's tables."""

from __future__ import annotations

FORMATS = (  # operands of mm
    "fp32", "bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "int8", "tf32", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1", "int4",
)
SCALES = ("mx", "nvfp4")  # of blocks of k
CLASSES = ("add", "mul", "exp", "rsqrt", "compare", "convert", "reduce", "transpose", "gather")  # of vector instructions
ENGINES = ("mm", "vec", "dma")
DATAFLOWS = ("weight_stationary", "output_stationary", "input_stationary", "dot")
TAGS = ("sourced", "reported", "recalled", "derived", "assumed")

# Events in table order (docs/machine.md, "Events"), by the component of the energy report that they belong to.
EVENTS: dict[str, tuple[str, ...]] = {
    "matrix": (*(f"array_macs_{f}" for f in FORMATS), "stationary_bytes"),
    "vector": tuple(f"vec_{c}" for c in CLASSES),
    "sram": ("sram_read_bytes", "sram_write_bytes"),
    "acc": ("acc_read_bytes", "acc_write_bytes"),
    "hbm": ("hbm_read_bytes", "hbm_write_bytes", "hbm_burst_bytes"),
    "shared": ("shared_bytes",),
    "noc": ("noc_byte_hops",),
    "user": ("user_femtojoules",),
    "links": ("link_bytes",),
    "instructions": ("scalar_instructions", "engine_instructions", "dma_descriptors", "sync_events"),
}
OWN_PRICE_PJ = {"user_femtojoules": 0.001}
"""Events whose price no chip file states: users' instructions say themselves what they draw (emu.instruction)."""
PRICED_EVENTS = tuple(e for events in EVENTS.values() for e in events if e not in OWN_PRICE_PJ)
# Useful MACs are a view of array MACs (the part that was not padding), so a price on them would count the same switching twice.
UNPRICED_EVENTS = (*(f"useful_macs_{f}" for f in FORMATS), "user_elements")
