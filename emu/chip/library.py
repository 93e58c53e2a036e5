"""Schema of a collective library: what its protocols cost, and how it chooses among them."""

from __future__ import annotations

from pydantic import Field, model_validator

from emu.chip.fields import Bytes, Count, Rate, Seconds, Section


class Protocol(Section):
    """One way to send: what a line holds, how fast a core sends, what it waits. Physical figures; none depends on a size."""

    name: str = Field(pattern="^(simple|ll|ll128)$")
    """Which one of the net engine's."""
    line_bytes: Bytes = Field(default=1, gt=0)
    flag_bytes: Bytes = 0
    """Of a line, so that the receiver sees what has come."""
    start_s: Seconds = 0.0
    """Once for each call."""
    late_s: Seconds = 0.0
    """From the last byte's arrival until the receiver goes on, beyond the link's hop: a flag polled, or a step published behind a fence."""
    core_bytes_per_s: Rate = Field(gt=0, alias="core")
    """Data that one core sends on."""
    copy_bytes_per_s: Rate = Field(gt=0, alias="copy")
    """Data that one core copies out of the receive buffer."""
    chunk_bytes: Bytes = Field(default=1 << 20, gt=0)
    """Data that a core sends at a time."""


class Guess(Section):
    """What the library itself believes of a protocol, by which it chooses: its own figures, not what they turn out to be."""

    name: str
    base_s: Seconds
    hop_s: Seconds
    bytes_per_s: Rate = Field(gt=0, alias="bandwidth")
    """Of all its channels along a ring."""


class InSwitch(Section):
    """How the library adds up in the switch."""

    from_bytes: Bytes
    """Smallest buffer."""
    chips: Count
    """Fewest chips."""
    cores: Count
    start_s: Seconds
    chunk_bytes: Bytes = Field(gt=0)
    core_bytes_per_s: Rate = Field(gt=0, alias="core")
    """Data of its own shard that one core has added or copied."""
    line_bytes: Bytes = Field(default=1, gt=0)
    flag_bytes: Bytes = 0
    """Of a line on the link, what is not data: requests and headers of packets that carry little."""


class Exchange(Section):
    """How the library sends from chip to chip."""

    ll_bytes: Bytes
    """Longest message that goes by `ll`."""
    cores: Count
    many_cores: Count
    many_from_bytes: Bytes
    """Most cores of a chip, and from which size of the whole buffer on how many."""
    per_core_bytes: Bytes = Field(gt=0)
    """Bytes of a message for which its peer gets one more."""
    core_bytes_per_s: Rate = Field(gt=0, alias="core")
    """Data that one core sends by the simple protocol."""
    ll_start_s: Seconds
    simple_start_s: Seconds
    """Once for each call, in place of the protocol's own."""
    peer_s: Seconds = 0.0
    """For each peer: a work item of its own."""


class Collectives(Section):
    """A collective library on one kind of chip."""

    library: str
    launch_s: Seconds
    """Shortest time of a call without any step."""
    cores: Count
    """Most cores that it uses of a chip: its channels."""
    per_core_bytes: Bytes = Field(gt=0)
    """Bytes of the buffer for which it takes one more core."""
    protocols: list[Protocol]
    rule: list[Guess] = []
    exchange: Exchange
    in_switch: InSwitch | None = None

    @model_validator(mode="after")
    def _known(self) -> Collectives:
        names = [p.name for p in self.protocols]
        if "simple" not in names or len(set(names)) != len(names):
            raise ValueError("protocols: each once, `simple` among them")
        for guess in self.rule:
            if guess.name not in names:
                raise ValueError(f"rule: {guess.name!r} is no protocol of the library")
        return self

    def protocol(self, name: str) -> Protocol:
        return next(p for p in self.protocols if p.name == name)
