"""Program -> text that assembles to the same program."""

from __future__ import annotations

from isa.operands import NAMED
from isa.program import Program
from isa.tables import Operand, load
from isa.words import MACHINE, Instruction

COLUMN = 56
"""Where comments begin."""


class Printer:
    """Writes instructions with the names of one program."""

    def __init__(self, program: Program | None = None) -> None:
        self.semaphores = {semaphore.id: semaphore.name for semaphore in program.semaphores} if program is not None else {}
        self.fields = list(load().fields)
        self.names = {field: list(getattr(load(), table)) for field, (_, table) in NAMED.items()}

    def _operand(self, instruction: Instruction, operand: Operand, target: str | None) -> str:
        value = instruction.operands[operand.name]
        if operand.kind == "descriptor":
            field = instruction.operands.get("field")
            return f"d{value}" if field is None else f"d{value}.{self.fields[field]}"
        if operand.kind == "register":
            return f"r{value}"
        if operand.kind == "semaphore":
            return self.semaphores.get(value, str(value))
        if operand.kind == "offset":
            return target if target is not None else f"{value:+d}"
        if instruction.mnemonic == "dset":
            return self._constant(self.fields[instruction.operands["field"]], value)
        return str(value)

    def _constant(self, field: str, value: int) -> str:
        names = self.names.get(field)
        if names is not None and 0 <= value < len(names):
            return names[value]
        return f"{value:#x}" if field == "scalar" else str(value)

    def show(self, instruction: Instruction, target: str | None = None) -> str:
        """One instruction; without a target label the distance stands in its place (which the assembler does not read)."""
        positional, extras = [], []
        for operand in instruction.spec.operands:
            value = instruction.operands[operand.name]
            if operand.required:
                if operand.kind != "field":
                    positional.append(self._operand(instruction, operand, target))
            elif value:
                extras.append(operand.name if operand.kind == "flag" else f"{operand.name}={self._operand(instruction, operand, None)}")
        return " ".join([instruction.mnemonic, ", ".join(positional), *extras]).replace("  ", " ").rstrip()


def show(word: int, program: Program | None = None) -> str:
    """One word as text, for messages and traces."""
    return Printer(program).show((MACHINE if program is None else program.instructions).decode(word))


def _header(program: Program) -> list[str]:
    out = [f".program {program.name}", f".cores {program.cores}"]
    out += [f".chips {program.chips}"] if program.chips != 1 else []
    out += [f".extension {name} {extension.digest}" for name, extension in program.instructions.used(program.streams).items()]
    for b in program.buffers:
        shape = f" {b.format} {'x'.join(map(str, b.shape))}" if b.format is not None else ""
        out.append(f".buffer {b.name} {b.space} {b.offset:#x} {b.bytes} {b.role}{shape}")
    out += [f".sem {s.id} {s.name} {s.initial}" for s in program.semaphores]
    out += [f".barrier {b.id} {','.join(b.streams)}" for b in program.barriers]
    out += [f".label {i} {name}" for i, name in enumerate(program.labels)]
    for index, values in enumerate(program.params):
        shown = values[:1] if len(set(values)) == 1 else values
        out.append(f".param {index} {','.join(map(str, shown))}")
    return out


def to_text(program: Program, source: bool = False) -> str:
    """Canonical text: streams in table order, targets L0, L1, ... in order of address. `source`: lines of origin as comments."""
    out, printer = _header(program), Printer(program)
    for stream in load().streams:
        code = [program.instructions.decode(word) for word in program.streams.get(stream, [])]
        if not code:
            continue
        targets = sorted({index + i.operands["off"] for index, i in enumerate(code) if "off" in i.operands})
        labels = {target: f"L{number}" for number, target in enumerate(targets)}
        out.append(f".stream {stream}")
        for index, instruction in enumerate(code):
            if index in labels:
                out.append(f"{labels[index]}:")
            target = labels.get(index + instruction.operands["off"]) if "off" in instruction.operands else None
            text, lines = "        " + printer.show(instruction, target), program.lines.get(stream, ())
            origin = lines[index].encode("ascii", "replace").decode() if source and index < len(lines) else ""
            out.append(f"{text:{COLUMN}} ; {origin}" if origin else text)
    return "\n".join(out) + "\n"
