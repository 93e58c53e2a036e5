"""Schema of what surrounds the cores: memory, levels, network on chip, links, synchronisation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, model_validator

from emu.chip.fields import Bytes, Count, CountOrNone, Cycles, Fraction, PerClock, Rate, Seconds, Section
from emu.chip.library import Collectives
from emu.errors import did_you_mean


class Hbm(Section):
    """Device memory, whatever its technology."""

    kind: str
    stacks: Count = 1
    capacity_bytes: Bytes = Field(gt=0)
    bandwidth_bytes_per_s: Rate = Field(gt=0)
    latency_s: Seconds = Field(lt=1)
    """From a request to its first byte, unloaded."""
    access_bytes: Bytes = Field(default=64, gt=0)
    """Granule: what one access moves at least."""
    achieved_fraction: Fraction
    """What refresh, turnaround and bank conflicts leave of the bandwidth; `fast` uses it, bounds never do."""
    rates: Literal["chip", "generated"] = "chip"
    """What `fast` takes for the share of the bandwidth that remains: `achieved_fraction`, or the device's measured rates by class."""
    device: str | None = None
    """The DRAM device (emu/chip/dram/devices) that `detailed` runs, at the clock at which its channels have this bandwidth."""
    channels: Count | None = None
    """Of all stacks together, as that device's table counts them."""

    @model_validator(mode="after")
    def _known_device(self) -> Hbm:
        from emu.chip.dram import devices

        if self.device is not None and self.device not in devices():
            raise ValueError(f"device: no DRAM device is named {self.device!r:.40}; {did_you_mean(self.device, devices())}")
        if (self.device is None) != (self.channels is None):
            raise ValueError("device and channels go together: state both or neither")
        if self.rates == "generated" and self.device is None:
            raise ValueError("rates: 'generated' ones are a device's; state device and channels, or leave rates to the chip's own figure")
        return self


class Level(Section):
    """A memory level between the cores and device memory. Levels are listed from the cores outwards.

    Its bandwidth may be stated; if not, it follows from its slices. Requests spread over them at random, so some wait while others have
    nothing to do: of s slices asked by n cores at once, 1 - (1 - 1/s)^n have work (Strecker's law of interleaved memory)."""

    name: str
    scope: Literal["core", "cluster", "die", "chip"]
    kind: Literal["scratchpad", "cache"]
    capacity_bytes: Bytes = Field(gt=0)
    """Of one instance; a level of scope die exists once per die."""
    slices: Count = 1
    """Of one instance, each with a port of its own."""
    sides: CountOrNone = 0
    """Parts of one instance that lie nearer to some of the cores than to others; unless given, two where there is a far latency, else one.
    Each side keeps copies of what its own cores load: while these fit a side they come with the near latency, else, from the whole, with
    the far one."""
    line_bytes: Bytes = Field(default=128, gt=0)
    """What a miss brings. Caches keep sectors of 128 B: a shorter line counts as one."""
    slice_bytes_per_clk: PerClock = 0
    """What one slice serves per core clock."""
    bandwidth_bytes_per_s: Rate = 0
    """Of one instance."""
    latency_s: Seconds = Field(lt=1)
    """To the near side."""
    latency_far_s: Seconds | None = None
    """To the far one, where the level has sides."""
    write: Literal["through", "back"] = "through"
    """Whether a write goes on to device memory at once, or when what it wrote has to leave. Of a cache; a write leaves its sectors behind
    either way."""
    serves: Literal["all", "loads"] = "all"
    """Whether DMA passes through it, or scalar loads alone (an L1 that copies bypass)."""

    @model_validator(mode="after")
    def _consistent(self) -> Level:
        if not self.bandwidth_bytes_per_s and not self.slice_bytes_per_clk:
            raise ValueError("give `bandwidth`, or `slices` and the `slice` bytes per clock that it follows from")
        if not self.sides:
            self._derive(sides=1 if self.latency_far_s is None else 2)
        if self.kind == "cache" and (self.line_bytes > 4096 or self.line_bytes & (self.line_bytes - 1)):
            raise ValueError(f"line: a power of two up to 4 KiB; not {self.line_bytes} B")
        return self

    @property
    def far_s(self) -> float:
        """Latency to the far side, or the only one there is."""
        return self.latency_s if self.latency_far_s is None else self.latency_far_s

    def busy_slices(self, cores: int) -> float:
        """How many of the slices have work, on average, when so many cores ask at once, each for something anywhere."""
        return self.slices * (1.0 - (1.0 - 1.0 / self.slices) ** cores)


class Scope(Section):
    """One layer of the tree core < cluster < die < chip, with how many of it the chip has."""

    name: Literal["cluster", "die"]
    count: Count


class Noc(Section):
    """Network on chip between the cores and the memory controllers."""

    topology: Literal["crossbar", "mesh", "torus", "ring"]
    x: Count
    y: Count = 1
    bytes_per_clk: PerClock = Field(alias="bandwidth", gt=0)
    """Of one link (crossbar: of one core's port) and direction, at the core clock."""
    hop_cycles: Cycles
    bisection_bytes_per_s: Rate = 0
    """Both directions over the narrowest cut in the middle; derived from the topology unless given."""

    @property
    def uniform_bytes_per_s(self) -> int:
        """Most traffic the network carries between uniformly random ends, half of which crosses the middle."""
        return 2 * self.bisection_bytes_per_s

    def links_across(self) -> int:
        """Links over the narrowest cut into halves, counting both directions."""
        if self.topology == "crossbar":
            return self.x * self.y
        if self.topology == "ring":
            return 2 * min(2, self.x * self.y - 1) if self.x * self.y > 1 else 1
        long, short = max(self.x, self.y), min(self.x, self.y)
        wrap = 2 if self.topology == "torus" and long > 2 else 1
        return 2 * short * wrap if long > 1 else 1


class Sync(Section):
    """What meeting costs."""

    semaphore_cycles: Cycles
    """From a signal to the waiting stream's issue, beyond the completion of the signalling instruction."""
    barrier_cycles: Cycles
    """From the last arrival to the first departure."""


class Link(Section):
    """Chip-to-chip links of one kind."""

    name: str
    count: Count
    bandwidth_bytes_per_s: Rate = Field(gt=0)
    """Of one link in ONE direction; vendors often quote both."""
    latency_s: Seconds = Field(lt=1)
    """One hop, memory to memory."""
    topology: Literal["switch", "mesh", "ring", "torus"]
    domain: Count
    """Most chips that these links join."""
    dims: CountOrNone = 0
    """Dimensions of a torus or mesh; 0: all-to-all or not applicable."""
    achieved_fraction: Fraction = 1.0
    in_switch_reduction: bool = False
    queues: Annotated[Count, Field(le=4)] = 1
    """Transfers over links that a core has under way at a time: streams of its net engine."""

    @property
    def total_bytes_per_s(self) -> int:
        """All links of this kind together, one direction."""
        return self.count * self.bandwidth_bytes_per_s


Way = Literal["per-tile", "persistent", "overlapped"]
"""Whether a matrix kernel's thread block makes one output tile, with loads and write-back of its own, or all of a core's in turn: then it
loads for the next one while the last is written back, and with accumulators for two (overlapped) multiplies meanwhile, too."""


class Eight(Section):
    """Matrix kernels for 8-bit floats that come from another library: it takes the tile by the number of rows, and divides no sum."""

    kernel: Way
    step_k: Count
    tiles: list[Annotated[tuple[int, int, int], Strict(False)]] = Field(min_length=1)
    """Most rows of x, and the output tile (m, n) up to there, rising; the last one also beyond."""


class SplitRule(Section):
    """How a library divides caches without trying: into the fewest parts that keep cores about as busy as the best number would, or, with
    `spread`, into parts as long as a core's share of all blocks."""

    per_core: Count = 1
    """Thread blocks that it reckons a core takes at a time."""
    enough: Fraction = 1.0
    """Share of these places from which on undivided caches fill them well enough."""
    share: Fraction = 1.0
    """Of the best occupancy of the last wave, what is good enough."""
    spread: Annotated[float, Field(ge=1, le=16)] | None = None
    """How much longer than a core's share a part may be."""


class DecodeKernels(Section):
    """What a library's decode does otherwise than its prefill. Without a rule, the quickest number of parts is taken."""

    resident: Count
    """Thread blocks on a core at a time."""
    in_turn: bool = False
    """Whether a block has one load under way at a time: keys, then values, then the next keys."""
    merge_in_turn: bool = False
    """Whether the merge of a split cache loads a part when it has added the one before."""
    rule: SplitRule | None = None


class AttentionTile(Section):
    """What a block of a library's attention works on at a time. Masked rows and keys take its time too."""

    head_dim: Count
    """Widest head for which it was compiled."""
    rows: Count
    """Rows of queries; where heads that share keys are packed, all of theirs counted."""
    keys: Count
    bits: Literal[8, 16] | None = None
    """Only for caches whose elements have so many; nothing: for any."""
    queries: Count | None = None
    """Only where no more rows of queries than these have the same keys; nothing: for any."""
    turn_bytes_per_clk: PerClock | None = Field(default=None, alias="turn")
    """Values that the warps which load them transpose in the scratchpad, as products of 8 bits need; nothing: they are used as they lie."""


class AttentionKernels(Section):
    """The attention kernels of a library. Into how many parts it splits a cache without a rule is the mapper's choice."""

    tiles: list[AttentionTile] = Field(min_length=1)
    """The first one that an attention keeps the limits of is taken."""
    resident: Count
    """Thread blocks on a core at a time."""
    lookups: CountOrNone = 0
    """Reads, each waiting for the one before, that a block makes before its first load: lengths, its work item, the page table."""
    paged_bytes_per_clk: PerClock | None = None
    """What a core's loads of pages come to, where their addresses are worked out row by row; nothing: what its DMA takes."""
    in_order: bool = False
    """Whether a prefill's block issues products and softmax one after the other, as warps do whose matrix instructions are synchronous."""
    packed: bool = True
    """Whether a block of a prefill takes all query heads that share keys together, or one head of queries."""
    ascending: bool = False
    """Whether a prefill's blocks are handed out head by head, from the first query on; else the longest first."""
    together: Bytes | None = None
    """Keys and values of so many heads are worked on at a time, the longest blocks of these heads first; nothing: of all heads."""
    scanned: CountOrNone = 0
    """Sequences whose lengths a block reads in one trip to memory on its way to its next work item; 0: it knows where that is."""
    scanned_most: CountOrNone = 0
    """Sequences beyond which the work items are found otherwise."""
    split_limit: Count = 1
    """Parts of a cache in decode at most."""
    write_resident: Count = 1
    """Tokens under way on a core at a time while new keys and values are written into the cache, each by a block of most threads."""
    write_threads: Count = 1
    """Most threads of such a block, one for each element of a token's keys; narrower tokens leave room for more of them."""
    floor: dict[str, Seconds] = {}
    """Shortest call by head dimension, each of which is a kernel of its own; `attention_floor` where nothing is said."""
    split_grouped: bool = False
    """Whether only heads that share keys have their cache split."""
    merge_launched: bool = False
    """Whether the merge of a split cache waits for a launch of its own (`reduce_launch`); else it starts while parts are made."""
    grouped_copies: CountOrNone = 0
    """Copies of queries or output, kernels of their own, around a decode step in which heads share keys."""
    scattered_copies: CountOrNone = 0
    """Such copies besides, where there are several sequences and several groups of heads."""
    decode: DecodeKernels | None = None


class Stack(Section):
    """A software stack. `bare` is none: whole-layer programs and no launch cost."""

    mode: Literal["whole-layer", "kernel-per-op"]
    launch_s: Seconds = 0.0
    """Shortest measured time of one kernel, launch to launch. It holds a trip to memory and back: what a launch adds to a run is this less
    the machine's own shortest kernel."""
    reduce_launch_s: Seconds = 0.0
    """The same for the second pass of a split sum, behind the kernel it belongs to."""
    quantize_launch_s: Seconds = 0.0
    """The same for a dynamic-quantisation kernel, in front of the one it belongs to."""
    kernel: Way = "per-tile"
    step_k: CountOrNone = 0
    """Depth of one step of a matrix kernel along the sum; 0: the largest that one instruction takes."""
    stages: Count = 4
    """Most steps that a block keeps in flight, itself included; fewer where the scratchpad does not hold them."""
    resident: Count = 2
    """Most blocks on a core at a time; fewer where scratchpad or accumulators do not hold them."""
    cluster: Count = Field(default=1, le=2)
    """Neighbouring cores whose blocks share the loads of weights, by multicast; 1: none do."""
    waves: Literal["static", "dynamic"] = "static"
    """Whether tiles are dealt out beforehand or fetched as cores come free."""
    tiles: list[Annotated[tuple[int, int], Strict(False)]] = []
    """Output tiles (m, n) of its matrix kernels; empty: any."""
    split_k_limit: Count = 1
    fp8: Eight | None = None
    """What its kernels for 8-bit floats do otherwise."""
    attention_floor_s: Seconds = 0.0
    """Shortest time of one attention call (cache write, attention, merge)."""
    attention: AttentionKernels | None = None
    collectives: Collectives | None = None

    @model_validator(mode="after")
    def _bare_is_free(self) -> Stack:
        if self.mode == "whole-layer" and self.launch_s:
            raise ValueError("launch: a whole-layer stack launches nothing per operation; leave it out")
        return self
