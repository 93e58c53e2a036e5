from collections.abc import Mapping
from typing import Any, Literal, overload

CAUSE_NAMES: tuple[str, ...]
ERROR_NAMES: tuple[str, ...]
STATE_NAMES: tuple[str, ...]
TALLY_NAMES: tuple[str, ...]

class CoreFailure(Exception):
    """A run that ended in an error; `info` is the core's report: code, text, core, stream, pc, byte ranges, blocked streams."""

    info: dict[str, Any]

def counter_names() -> list[str]: ...
def mm_ready(config: dict[str, Any], fmt: int, m: int, n: int, k: int) -> list[list[int]]: ...
@overload
def relevant_params(
    code: Mapping[int, Any], nparams: int, labels: int, users: dict[str, Any] = {}, chips: Literal[False] = False
) -> set[int] | None: ...
@overload
def relevant_params(
    code: Mapping[int, Any], nparams: int, labels: int, users: dict[str, Any], chips: Literal[True]
) -> tuple[set[int], set[int]] | None: ...
def run(
    config: dict[str, Any],
    buffers: list[tuple[int, int, int, int]],  # space, offset, bytes, role
    code: Mapping[int, Any],  # stream id -> array of 64-bit words
    semaphores: Mapping[int, int],  # id -> initial count, on every core
    barriers: Mapping[int, int],  # id -> mask of streams
    params: list[tuple[int, ...]],  # [index][core]
    labels: int,
    inputs: list[tuple[int, Any]],  # offset in hbm, bytes
    outputs: list[tuple[int, Any]],  # offset in hbm, writable bytes
    weights: list[int] | None = None,  # how many cores each one stands for
    toggles: bool = False,  # count bits that toggle (emu.power.activity); only where values run is there anything to count
    dram: tuple[dict[str, int], tuple[Any, ...]] | None = None,  # device memory in `detailed` (emu.machine.detailed)
) -> dict[str, Any]:
    """One run. Raises CoreFailure, MemoryError, KeyboardInterrupt."""
