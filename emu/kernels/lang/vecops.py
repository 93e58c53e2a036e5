"""Vector operations of the tracer: elementwise with broadcasting, reductions along the last axis, masks, transposition."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from emu.errors import ProgramError
from emu.kernels.lang.expr import Value
from emu.kernels.lang.memory import Dim, Operand, View, view_of
from emu.kernels.lang.tree import Scalars, Use

if TYPE_CHECKING:
    from emu.extension import UserInstruction
    from isa import InstructionSet

Second = Operand | float | int
SATURATING = ("fp8_e4m3", "fp8_e5m2")
CONVERTING = ("vmov", "vadd", "vsub", "vmul", "vdiv")


def float_bits(value: float) -> int:
    """The fp32 pattern of an immediate."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def _aligned(source: View, target: View) -> tuple[Dim, ...]:
    """The source's axes under the target's, right-aligned; axes of one element repeat."""
    if len(source.dims) > len(target.dims):
        raise ProgramError(f"{source.buffer.name} {source.shape} has more axes than {target.buffer.name} {target.shape}")
    for mine, theirs in zip(reversed(source.dims), reversed(target.dims)):
        if mine.size != theirs.size and not (mine.size == 1 and mine.extent == 1):
            raise ProgramError(f"shapes do not broadcast: {source.buffer.name} {source.shape} to {target.buffer.name} {target.shape}")
    return tuple(Dim(1, 0, 1) if d.size == 1 and d.extent == 1 else d for d in source.dims)


def _broadcast(slot: str, operand: Operand, target: View) -> Use:
    view = view_of(operand)
    return Use(slot, view, "r", _aligned(view, target))


def _row_use(slot: str, operand: Operand, target: View) -> Use:
    """Rows of their own length, as many as the target has."""
    view = view_of(operand)
    rows = _aligned(View(view.buffer, view.offset, view.dims[:-1]), View(target.buffer, target.offset, target.dims[:-1]))
    return Use(slot, view, "r", (*rows, view.dims[-1]))


def _saturation(mnemonic: str, target: View) -> tuple[str, ...]:
    """Values too large for an 8-bit float become its largest one, as quantisation wants; integers always saturate."""
    return ("sat",) if target.fmt in SATURATING and mnemonic in CONVERTING else ()


class VecOps:
    """Mixed into the tracer. Destinations come first; sources broadcast to the destination; arithmetic is fp32, rounded once on writing."""

    def _emit(
        self, stream: str, mnemonic: str, uses: tuple[Use, ...], scalars: Scalars | None = None, flags: tuple[str, ...] = (),
        piece: bool = False,
    ) -> None:
        raise NotImplementedError

    def adopt(self, known: InstructionSet) -> None:
        raise NotImplementedError

    def emit_user(self, added: UserInstruction, dst: Operand, *sources: Second) -> None:
        """A user's instruction; in a kernel one calls the instruction itself. Operands as everywhere: sources broadcast to the destination,
        and where its meaning is one of rows, all their axes but the last."""
        second, target = added.access.get("d2", ""), view_of(dst)
        if len(sources) != 1 + bool(second) or isinstance(sources[0], (int, float)):
            more = " and another one or a number" if second else ""
            raise ProgramError(f"{added.name} takes a destination, an operand{more}; got {len(sources)} sources")
        self.adopt(added.set)
        uses = [Use("d0", target, added.access["d0"])]
        flags = ("sat",) if "sat" in added.flags and target.fmt in SATURATING else ()
        scalars = None
        for slot, source in zip(("d1", "d2"), sources):
            if isinstance(source, (int, float)):
                if second != "s" and "imm" not in added.flags:
                    raise ProgramError(f"{added.name}: d2 is an operand; declare it with the flag imm to give a number in its place")
                scalars, flags = Scalars(float_bits(source)), (*flags, *(["imm"] if second == "r" else []))
            elif slot == "d2" and second == "s":
                raise ProgramError(f"{added.name}: d2 is a number, not an operand in memory")
            else:
                uses.append(_row_use(slot, source, target) if added.per == "row" else _broadcast(slot, source, target))
        self._emit(added.extension.spec.engine, added.name, tuple(uses), scalars, flags)

    def _unary(self, mnemonic: str, dst: Operand, src: Operand) -> None:
        target = view_of(dst)
        self._emit("vec", mnemonic, (Use("d0", target, "w"), _broadcast("d1", src, target)), flags=_saturation(mnemonic, target))

    def _binary(self, mnemonic: str, dst: Operand, a: Operand, b: Second, mode: str = "w") -> None:
        target = view_of(dst)
        uses = [Use("d0", target, mode), _broadcast("d1", a, target)]
        flags = _saturation(mnemonic, target)
        if isinstance(b, (int, float)):
            self._emit("vec", mnemonic, tuple(uses), Scalars(float_bits(b)), ("imm", *flags))
        else:
            self._emit("vec", mnemonic, (*uses, _broadcast("d2", b, target)), flags=flags)

    def _reduce(self, mnemonic: str, dst: Operand, src: Operand) -> None:
        target, source = view_of(dst), view_of(src)
        if target.dims[-1].size != 1:
            raise ProgramError(f"a reduction writes one element per row; the last axis of {target.buffer.name} has {target.dims[-1].size}")
        self._emit("vec", mnemonic, (Use("d0", target, "w"), Use("d1", source, "r")))

    def mov(self, dst: Operand, src: Operand) -> None:
        """dst = src, converted to dst's format."""
        self._unary("vmov", dst, src)

    def fill(self, dst: Operand, value: float) -> None:
        """dst = value."""
        self._emit("vec", "vfill", (Use("d0", view_of(dst), "w"),), Scalars(float_bits(value)))

    def add(self, dst: Operand, a: Operand, b: Second) -> None:
        """dst = a + b."""
        self._binary("vadd", dst, a, b)

    def sub(self, dst: Operand, a: Operand, b: Second) -> None:
        """dst = a - b."""
        self._binary("vsub", dst, a, b)

    def mul(self, dst: Operand, a: Operand, b: Second) -> None:
        """dst = a * b."""
        self._binary("vmul", dst, a, b)

    def div(self, dst: Operand, a: Operand, b: Second) -> None:
        """dst = a / b."""
        self._binary("vdiv", dst, a, b)

    def mac(self, dst: Operand, a: Operand, b: Second) -> None:
        """dst = dst + a * b, two roundings."""
        self._binary("vmac", dst, a, b, mode="rw")

    def max(self, dst: Operand, a: Operand, b: Second) -> None:
        """dst = the larger of a and b."""
        self._binary("vmax", dst, a, b)

    def min(self, dst: Operand, a: Operand, b: Second) -> None:
        """dst = the smaller of a and b."""
        self._binary("vmin", dst, a, b)

    def ge(self, dst: Operand, a: Operand, b: Second) -> None:
        """dst = 1 where a >= b, else 0."""
        self._binary("vge", dst, a, b)

    def rsum(self, dst: Operand, src: Operand) -> None:
        """dst[.., 0] = the sum of src over its last axis."""
        self._reduce("vrsum", dst, src)

    def rmax(self, dst: Operand, src: Operand) -> None:
        """dst[.., 0] = the maximum of src over its last axis."""
        self._reduce("vrmax", dst, src)

    def mask(self, dst: Operand, src: Operand, diag: Value, fill: float, window: int = 0) -> None:
        """dst[.., i, j] = src[.., i, j] where j <= i + diag (and j > i + diag - window if a window is given), else fill."""
        target = view_of(dst)
        scalars = Scalars(float_bits(fill), diag, window)
        self._emit("vec", "vmask", (Use("d0", target, "w"), _broadcast("d1", src, target)), scalars)

    def transpose(self, dst: Operand, src: Operand) -> None:
        """dst[j, i] = src[i, j]."""
        self._emit("vec", "vtrans", (Use("d0", view_of(dst), "w"), Use("d1", view_of(src), "r")))

    def rows(self, dst: Operand, indices: Operand, table: Operand) -> None:
        """dst[i, :] = table[indices[i], :], all on chip."""
        uses = (Use("d0", view_of(dst), "w"), Use("d1", view_of(indices), "r"), Use("d2", view_of(table), "r"))
        self._emit("vec", "vgather", uses)

    def neg(self, dst: Operand, src: Operand) -> None:
        """dst = -src."""
        self._unary("vneg", dst, src)

    def abs(self, dst: Operand, src: Operand) -> None:
        """dst = |src|."""
        self._unary("vabs", dst, src)

    def exp(self, dst: Operand, src: Operand) -> None:
        """dst = e to the src."""
        self._unary("vexp", dst, src)

    def exp2(self, dst: Operand, src: Operand) -> None:
        """dst = 2 to the src."""
        self._unary("vexp2", dst, src)

    def log2(self, dst: Operand, src: Operand) -> None:
        """dst = the binary logarithm of src."""
        self._unary("vlog2", dst, src)

    def sqrt(self, dst: Operand, src: Operand) -> None:
        """dst = the square root of src."""
        self._unary("vsqrt", dst, src)

    def rsqrt(self, dst: Operand, src: Operand) -> None:
        """dst = 1 / sqrt(src)."""
        self._unary("vrsqrt", dst, src)

    def rcp(self, dst: Operand, src: Operand) -> None:
        """dst = 1 / src."""
        self._unary("vrcp", dst, src)

    def tanh(self, dst: Operand, src: Operand) -> None:
        """dst = tanh src."""
        self._unary("vtanh", dst, src)

    def erf(self, dst: Operand, src: Operand) -> None:
        """dst = erf src."""
        self._unary("verf", dst, src)

    def sigmoid(self, dst: Operand, src: Operand) -> None:
        """dst = 1 / (1 + e^-src)."""
        self._unary("vsigmoid", dst, src)

    def sin(self, dst: Operand, src: Operand) -> None:
        """dst = sin src."""
        self._unary("vsin", dst, src)

    def cos(self, dst: Operand, src: Operand) -> None:
        """dst = cos src."""
        self._unary("vcos", dst, src)
