"""Text -> Program. Directives declare, labels name words, every other line is one instruction with operands in the table's order."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from isa.check import check
from isa.errors import IsaError, nearest
from isa.operands import Names, parse_operands
from isa.program import ROLES, Barrier, Buffer, Program, Semaphore
from isa.source import Line, Token, lines_of
from isa.tables import load
from isa.words import MACHINE, InstructionSet


class Branch(NamedTuple):
    """A word whose target label may stand further down."""

    stream: str
    word: int
    mnemonic: str
    operands: dict[str, int]
    target: Token


class Assembler:
    """State while the lines of one text are read."""

    def __init__(self, instructions: InstructionSet) -> None:
        self.program = Program("", instructions=instructions)
        self.names = Names()
        self.specs = instructions.specs
        self.stream = ""
        self.places: dict[str, list[int]] = {}
        self.labels: dict[str, dict[str, int]] = {}
        self.branches: list[Branch] = []
        self.params: list[tuple[Token, tuple[int, ...]]] = []
        directives = (
            self.program_, self.cores_, self.chips_, self.extension_, self.buffer_, self.sem_, self.barrier_, self.label_, self.param_,
            self.stream_,
        )
        self.directives: dict[str, Callable[[Line], None]] = {"." + method.__name__[:-1]: method for method in directives}

    def program_(self, line: Line) -> None:
        self.program.name = line.next("a name").text

    def cores_(self, line: Line) -> None:
        self.program.cores = line.next("a number of cores").integer("cores")

    def extension_(self, line: Line) -> None:
        """A user's instruction that the program needs: its name and, unless any will do, its digest."""
        name = line.next("the name of a user's instruction")
        digest = line.next("").text if line.more() else None
        try:
            self.program.instructions.resolve(name.text, digest)
        except IsaError as error:
            raise error.at(name.line, name.column) from None

    def chips_(self, line: Line) -> None:
        self.program.chips = line.next("a number of chips").integer("chips")

    def buffer_(self, line: Line) -> None:
        name, space = line.next("a name"), line.next("a space")
        if space.text not in load().spaces:
            space.fail(f"no space {space.text!r}{nearest(space.text, load().spaces)}")
        offset, size = line.next("an offset").integer("offset"), line.next("a number of bytes").integer("bytes")
        role = line.next("a role")
        if role.text not in ROLES:
            role.fail(f"no role {role.text!r}{nearest(role.text, ROLES)}")
        form: str | None = None
        shape: tuple[int, ...] = ()
        if line.more():
            token, extents = line.next("a format"), line.next("a shape such as 64x64")
            if token.text not in load().formats:
                token.fail(f"no format {token.text!r}{nearest(token.text, load().formats)}")
            form = token.text
            shape = tuple(Token(part, extents.line, extents.column).integer("shape") for part in extents.text.split("x"))
        if name.text in self.names.buffers:
            name.fail(f"buffer {name.text!r} stands twice")
        self.names.buffers[name.text] = offset
        self.program.buffers.append(Buffer(name.text, space.text, offset, size, role.text, form, shape))

    def sem_(self, line: Line) -> None:
        number, name = line.next("an id").integer("id"), line.next("a name")
        initial = line.next("an initial count").integer("initial count") if line.more() else 0
        if name.text in self.names.semaphores:
            name.fail(f"semaphore {name.text!r} stands twice")
        self.names.semaphores[name.text] = number
        self.program.semaphores.append(Semaphore(number, name.text, initial))

    def barrier_(self, line: Line) -> None:
        number = line.next("an id").integer("id")
        self.program.barriers.append(Barrier(number, tuple(token.text for token in line.list("a stream"))))

    def label_(self, line: Line) -> None:
        number = line.next("an id")
        if number.integer("id") != len(self.program.labels):
            number.fail(f"labels count up from 0: the next one is {len(self.program.labels)}")
        self.program.labels.append(line.next("a name").text)

    def param_(self, line: Line) -> None:
        number = line.next("an index")
        if number.integer("index") != len(self.params):
            number.fail(f"params count up from 0: the next one is {len(self.params)}")
        self.params.append((number, tuple(token.integer("param") for token in line.list("a value"))))

    def stream_(self, line: Line) -> None:
        name = line.next("a stream")
        if name.text not in load().streams:
            name.fail(f"no stream {name.text!r}{nearest(name.text, load().streams)}")
        if name.text in self.program.streams:
            name.fail(f"stream {name.text!r} stands twice")
        self.stream = name.text
        self.program.streams[self.stream], self.program.lines[self.stream] = [], []
        self.places[self.stream], self.labels[self.stream] = [], {}

    def label(self, token: Token) -> None:
        if not self.stream:
            token.fail("a label needs a .stream before it")
        if token.text in self.labels[self.stream]:
            token.fail(f"label {token.text!r} stands twice in stream {self.stream}")
        self.labels[self.stream][token.text] = len(self.program.streams[self.stream])

    def line(self, line: Line) -> None:
        head = line.next("an instruction")
        if head.text.startswith("."):
            if head.text not in self.directives:
                head.fail(f"no directive {head.text!r}{nearest(head.text, self.directives)}")
            self.directives[head.text](line)
            line.end()
            return
        spec = self.specs.get(head.text)
        if spec is None:
            head.fail(f"no instruction {head.text!r}{nearest(head.text, self.specs)}")
        if not self.stream:
            head.fail("an instruction needs a .stream before it")
        values, target = parse_operands(spec, line, self.names)
        words = self.program.streams[self.stream]
        if target is None:
            words.append(self.program.instructions.pack(spec.mnemonic, values))
        else:
            self.branches.append(Branch(self.stream, len(words), spec.mnemonic, values, target))
            words.append(0)
        self.places[self.stream].append(line.number)
        self.program.lines[self.stream].append(f"line {line.number}: {line.source}")

    def finish(self) -> Program:
        """Targets and one-for-all parameters, known only at the end; then the loader's proofs."""
        for branch in self.branches:
            labels, text = self.labels[branch.stream], branch.target.text
            if text not in labels:
                branch.target.fail(f"no label {text!r} in stream {branch.stream}{nearest(text, labels)}")
            try:
                word = self.program.instructions.pack(branch.mnemonic, branch.operands | {"off": labels[text] - branch.word})
            except IsaError as error:
                raise error.at(branch.target.line, branch.target.column) from None
            self.program.streams[branch.stream][branch.word] = word
        for token, values in self.params:
            columns = self.program.cores * self.program.chips
            if len(values) not in (1, columns):
                token.fail(f"param {token.text} has {len(values)} values for {columns} cores; one value alone is for all")
            self.program.params.append(values if len(values) != 1 else values * columns)
        check(self.program, self.places)
        return self.program


def assemble(text: str, instructions: InstructionSet | None = None) -> Program:
    """The checked program that the text describes, with the machine's instructions or those of a set."""
    state = Assembler(instructions or MACHINE)
    for label, line in lines_of(text):
        if label is not None:
            state.label(label)
        if line is not None:
            state.line(line)
    if not state.program.name:
        raise IsaError("the text names no program: begin with .program NAME", line=1, column=1)
    return state.finish()
