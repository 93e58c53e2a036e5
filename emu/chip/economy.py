"""Schema of what surrounds a chip in trade: the server it is sold in, what it is made of in silicon, what making and running it costs.

Figures of `[area]` and `[cost]` that a file leaves out are those of emu/chip/cost/tables.toml, each with its source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from emu.chip.fields import (
    Count,
    CountOrNone,
    Dollars,
    DollarsPerGigabyte,
    DollarsPerHour,
    DollarsPerKilowattHour,
    DollarsPerSquareMillimetre,
    DollarsPerWatt,
    Fraction,
    Millimetres,
    Nanometres,
    Number,
    PerSquareCentimetre,
    Section,
    Share,
    SquareMicrometres,
    SquareMillimetres,
    Watts,
)  # fmt: skip
from emu.chip.matrix import Format


class Server(Section):
    """The machine that holds the chips."""

    name: str
    chips: Count
    """In one server (of a rack-scale machine: in one rack)."""
    topology: str
    """How `links` join the chips of a server."""
    links: list[str] = []
    """Those of the chip's links, by name, that join chips of a server."""
    box_w: Watts | None = Field(default=None, alias="box")
    """Of a whole server under load, where it is published; `power.all_in` is one chip's share of server, network and cooling."""


class OtherDie(Section):
    """A die of the package that holds no cores."""

    name: str
    node_nm: Nanometres
    die_area_mm2: SquareMillimetres = Field(gt=0)
    count: Count = 1
    holds: list[Literal["levels", "noc", "memory", "links", "host"]]
    """Components that lie on it and not on the compute die; of `levels`, those of scope chip."""


class Area(Section):
    """What the compute dies hold, and how dense it is made."""

    cores_made: Count | None = Field(default=None, le=1 << 16)
    """Cores on all compute dies; `core_count` of them are used. None: all are."""
    level_made: Number | None = None
    """Capacity made of the levels over the capacity used."""
    memory_sites: Count | None = None
    """Memory interfaces made; as `hbm.stacks` unless given."""
    dies: list[OtherDie] = []
    logic: Number | None = None
    """Million transistors per mm2 of the node's densest logic."""
    placed: Fraction | None = None
    """Share of that density that placed and routed logic reaches."""
    bit: SquareMicrometres | None = None
    """One bit of the node's densest 6T SRAM."""
    array: Fraction | None = None
    """Share of an SRAM macro that is bits."""
    ports: Number | None = None
    """How much larger a register file's bit is than scratchpad's."""
    mac: Number | None = None
    """Transistors of one bf16 multiply and fp32 add with its registers."""
    formats: dict[Format, Number] = {}
    """A MAC of other formats over one of bf16; an array that has several is as large as the one that needs most."""
    lane: Number | None = None
    """A lane of the vector engine (one fp32 multiply and add per clock) over a bf16 MAC."""
    operand_byte: CountOrNone | None = None
    """Transistors that bring one byte per clock from a core's memories to its engines, instruction issue included."""
    noc_byte: Number | None = None
    """The same for the network on chip: a core's port, per byte and clock."""
    memory_interface_mm2: SquareMillimetres | None = None
    """Interface and controller of one memory site (`hbm.stacks`)."""
    stack_mm2: SquareMillimetres | None = None
    """Footprint of a memory stack on the package; 0 where memory stands on the board."""
    link: Number | None = None
    """mm2 per GB/s and direction of links and host interface."""
    control: Annotated[Share, Field(lt=1)] | None = None
    """Share of a die that is none of the above: test, management, media, spares, gaps."""


class Cost(Section):
    """Money: prices as asked, and what making and running a chip takes."""

    price_usd: Dollars | None = None
    """Of one chip, as its buyer pays."""
    rental_usd_per_hour: DollarsPerHour | None = Field(default=None, alias="rental")
    wafer_usd: Dollars | None = None
    """A processed wafer of the compute dies' node."""
    wafer_mm: Millimetres | None = Field(default=None, alias="diameter")
    edge_mm: Millimetres | None = None
    """Ring at the wafer's rim that makes no dies."""
    scribe_mm: Millimetres | None = None
    """Between dies."""
    defects_per_cm2: PerSquareCentimetre | None = None
    clustering: Number | None = None
    """alpha of the negative binomial: small where defects come in clusters, large where they fall at random."""
    memory_usd_per_gb: DollarsPerGigabyte | None = None
    package_usd_per_mm2: DollarsPerSquareMillimetre | None = None
    """Interposer, substrate and assembly, per mm2 of what stands on it."""
    assembly: Fraction | None = None
    """Share of packages that come out good; what is in the others is lost."""
    test_usd: Dollars | None = None
    board_usd_per_w: DollarsPerWatt | None = None
    """Board, voltage conversion and cooling of one chip, per watt of TDP."""
    server_usd: Dollars | None = None
    """One chip's share of host, network cards and chassis."""
    years: Number | None = None
    """Over which a chip is paid off."""
    utilisation: Fraction | None = None
    """Share of these years in which it makes tokens."""
    energy_usd_per_kwh: DollarsPerKilowattHour | None = None
    overhead: Number | None = None
    """All watts over the chips' own: server, network, cooling; from `power.all_in` over the TDP where that is given."""
