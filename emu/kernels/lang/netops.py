"""What a kernel says of other chips: constants that differ by chip, transfers over links, and the tokens that tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emu.errors import ProgramError, UnsupportedError
from emu.kernels.lang.expr import Value
from emu.kernels.lang.memory import Dim, Operand, view_of
from emu.kernels.lang.percore import Const, uniform
from emu.kernels.lang.source import call_site
from emu.kernels.lang.sync import Token
from emu.kernels.lang.transfer import matched, merged
from emu.kernels.lang.tree import Block, Op, Region, Use, tensor_of

if TYPE_CHECKING:
    from emu.kernels.lang.tree import Scalars

PROTOCOLS = {"simple": (), "ll": ("ll",), "ll128": ("ll128",)}
MAX_QUEUES = 4


class NetOps:
    """Mixed into the tracer. Every core talks to the core of its own number on other chips."""

    cores: int
    chips: int

    if TYPE_CHECKING:

        def _emit(
            self, stream: str, mnemonic: str, uses: tuple[Use, ...], scalars: Scalars | None = None, flags: tuple[str, ...] = (),
            piece: bool = False,
        ) -> None: ...

        def _need_region(self) -> Region: ...

        @property
        def block(self) -> Block: ...

    def per_chip(self, values: Sequence[int]) -> Const:
        """A constant that differs between chips, the same on all cores of one."""
        if len(values) != self.chips:
            raise ProgramError(f"per_chip needs one value for each of {self.chips} chips, got {len(values)}")
        return uniform(int(v) for v in values for _ in range(self.cores))

    def channel(self, name: str, queue: int = 0) -> Token:
        """A semaphore of a queue of the net engine, whose tokens come from the same queue of another chip."""
        token = Token(name, f"net{queue}", f"net{queue}", 0)
        self._need_region().channels.append(token)
        return token

    def send(
        self, dst: Operand, src: Operand, *, wait: Token | None = None, signal: Token | None = None, protocol: str = "simple",
        queue: int = 0, reverse: bool = False,
    ) -> None:
        """Copies from this chip's device memory to a chip's (`t[...].on(chip)`; without it here). `signal` tells the core there.

        `reverse`: a torus is crossed last dimension first."""
        to, origin = _pair(dst, src)
        self._send("put", (Use("d0", view_of(dst), "w", to), Use("d1", view_of(src), "r", origin)), wait, signal, protocol, queue, reverse)

    def send_sum(
        self, dst: Operand, a: Operand, b: Operand, *, keep: bool = False, wait: Token | None = None, signal: Token | None = None,
        protocol: str = "simple", queue: int = 0,
    ) -> None:
        """The same with a + b, added in fp32 and rounded once; with `keep` the sum replaces a as well."""
        to, one = _pair(dst, a)
        _, two = _pair(dst, b)
        uses = (Use("d0", view_of(dst), "w", to), Use("d1", view_of(a), "rw" if keep else "r", one), Use("d2", view_of(b), "r", two))
        self._send("putk" if keep else "puta", uses, wait, signal, protocol, queue)

    def send_all(self, dst: Operand, src: Operand, *, wait: Token | None = None, protocol: str = "simple") -> None:
        """The switch copies to all chips, this one too."""
        to, origin = _pair(dst, src)
        self._send("putm", (Use("d0", view_of(dst), "w", to), Use("d1", view_of(src), "r", origin)), wait, None, protocol)

    def get_sum(self, dst: Operand, src: Operand, *, wait: Token | None = None, protocol: str = "simple") -> None:
        """The switch adds what lies at `src` on all chips, in their order, in fp32, rounded once."""
        to, origin = _pair(dst, src)
        self._send("getr", (Use("d0", view_of(dst), "w", to), Use("d1", view_of(src), "r", origin)), wait, None, protocol)

    def tell(self, token: Token, chip: Value) -> None:
        """A token to a chip, once all that this core has sent before is there."""
        self._emit(token.producer, "csignal", ())
        op = self._last()
        op.gives, op.chip = token, chip

    def take(self, token: Token) -> None:
        """Waits for a token."""
        self._emit(token.consumer, "wait", ())
        self._last().takes = token

    def settle(self, queue: int = 0) -> None:
        """Waits until all that this queue has sent is there."""
        self._emit(f"net{queue}", "fence", ())

    def _last(self) -> Op:
        op = self.block.nodes[-1]
        assert isinstance(op, Op)
        return op

    def _send(
        self, mnemonic: str, uses: tuple[Use, ...], wait: Token | None, signal: Token | None, protocol: str,
        queue: int = 0, reverse: bool = False,
    ) -> None:
        if protocol not in PROTOCOLS:
            raise UnsupportedError(f"{call_site()[0]}: protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
        self._emit(f"net{queue}", mnemonic, uses, flags=(*PROTOCOLS[protocol], *(("rev",) if reverse else ())))
        op = self._last()
        op.takes, op.gives, op.everywhere = wait, signal, self.chips if mnemonic in ("putm", "getr") else 0


def _pair(dst: Operand, src: Operand) -> tuple[tuple[Dim, ...], tuple[Dim, ...]]:
    target, source = view_of(dst), view_of(src)
    if tensor_of(target) is None or tensor_of(source) is None:
        raise ProgramError("transfers between chips go from device memory to device memory")
    if source.chip is not None:
        raise ProgramError(f"{source.buffer.name}: a chip sends; it cannot fetch from another one")
    return merged(*matched(target, source))

