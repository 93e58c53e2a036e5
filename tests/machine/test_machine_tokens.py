"""Do semaphores, barriers and queues do what a small model of them does, whatever is programmed one word after another?"""

from __future__ import annotations

import re

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from token_model import CHIP, Network, Word

import emu
import isa
from emu.testing import checked

MACHINE = emu.Machine(CHIP, "ideal")
STREAMS = ("vec", "ld0", "ld1")
EDGES = {1: ("vec", "ld0"), 2: ("ld0", "vec"), 3: ("ld1", "vec"), 4: ("vec", "ld1"), 5: ("vec", "vec")}  # producer, consumer
HEAD = """.program tokens
.buffer x hbm 0 65536 in int8 65536
.buffer s sram 0 65536 temp
.barrier 0 vec,ld0,ld1
"""
SETUP = {"vec": " dset d0.space, sram\n", "ld0": " dset d0.space, sram\n dset d0.fmt, int8\n dset d1.fmt, int8\n"}
SETUP["ld1"] = SETUP["ld0"]
TAIL = " bar 0\n halt\n"
UNREACHED = {  # behind halt: each semaphore and the barrier has a word of each of its streams, as the loader wants
    stream: "".join(f" {verb} s{n}, 1\n" for n, e in EDGES.items() for verb, end in zip(("signal", "wait"), e) if end == stream) + TAIL
    for stream in STREAMS
}  # fmt: skip
WORDS = {name: text.count("\n") for name, text in SETUP.items()}  # these are scalar words too, before the model's


TOKENS = r"(\d+) of semaphore '(s\d)' \(\d\), which has (\d+)"
BARRIER = r"(barrier 0), where (\d) of (\d)"


def text_of(stream: str, w: Word) -> str:
    """The word in assembly; an op sets its extent first."""
    sides = (f" wait=s{w.wait}" if w.wait else "") + (f" signal=s{w.signal}" if w.signal else "")
    ways = {"nop": "nop", "wait": f"wait s{w.sem}, {w.count}", "signal": f"signal s{w.sem}, {w.count}", "fence": "fence", "bar": "bar 0"}
    return ways.get(w.kind) or f"dset d0.n0, {w.size}\n {'vfill d0, d2' if stream == 'vec' else 'dma d0, d1'}{sides}"


def modelled(stream: str, words: list[Word]) -> list[Word]:
    """With the scalar words that the assembly has besides."""
    out = [Word("nop")] * WORDS[stream]
    for w in words:
        out += [Word("nop"), w] if w.kind == "op" else [w]
    return out


def semaphores(of: dict[int, tuple[str, str]], side: int, stream: str) -> st.SearchStrategy[int]:
    return st.sampled_from([0, *(n for n, ends in of.items() if ends[side] == stream)])


class Tokens(RuleBasedStateMachine):
    """A program that grows by a word at a time; after each it is run, and the model says how that ends."""

    outcomes: dict[str, int] = {}

    @initialize(counts=st.lists(st.sampled_from([0, 0, 1, 2, 65535]), min_size=5, max_size=5), seed=st.integers(0, 5))
    def begin(self, counts: list[int], seed: int) -> None:
        self.initial = dict(zip(EDGES, counts))
        self.seed = seed
        self.code: dict[str, list[Word]] = {name: [] for name in STREAMS}

    @rule(stream=st.sampled_from(STREAMS), kind=st.sampled_from(["nop", "fence", "bar"]))
    def plain(self, stream: str, kind: str) -> None:
        self.code[stream].append(Word(kind))

    @rule()
    def meet(self) -> None:
        for words in self.code.values():
            words.append(Word("bar"))

    @rule(number=st.sampled_from(list(EDGES)), count=st.sampled_from([1, 1, 1, 2, 3, 30000]), both=st.booleans())
    def tokens(self, number: int, count: int, both: bool) -> None:
        """A signal, mostly with a wait for what it brings."""
        producer, consumer = EDGES[number]
        self.code[producer].append(Word("signal", number, count))
        if both:
            self.code[consumer].append(Word("wait", number, count))

    @rule(data=st.data(), stream=st.sampled_from(STREAMS), size=st.sampled_from([0, 1, 16, 64, 100, 640, 4096]))
    def op(self, data: st.DataObject, stream: str, size: int) -> None:
        wait, signal = data.draw(semaphores(EDGES, 1, stream)), data.draw(semaphores(EDGES, 0, stream))
        self.code[stream].append(Word("op", size=size, wait=wait, signal=signal))

    @rule(stream=st.sampled_from(STREAMS), times=st.integers(1, 8), size=st.sampled_from([64, 1024]))
    def many(self, stream: str, times: int, size: int) -> None:
        """More transfers than the queue holds."""
        self.code[stream] += [Word("op", size=size)] * times

    @invariant()
    def the_model_agrees(self) -> None:
        if not hasattr(self, "code"):
            return
        sems = "".join(f".sem {n} s{n} {count}\n" for n, count in self.initial.items())
        streams = "".join(
            f".stream {name}\n{SETUP[name]}" + "".join(f" {text_of(name, w)}\n" for w in words) + f" halt\n{UNREACHED[name]}"
            for name, words in self.code.items()
        )  # fmt: skip
        program = isa.assemble(HEAD + sems + streams)
        model = Network({name: modelled(name, words) for name, words in self.code.items()}, self.initial)
        outcome = self.compare(program, model)
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def compare(self, program: isa.Program, model: Network) -> str:
        try:
            run = MACHINE.run(program, values=False, verify=False, check=False, order_seed=self.seed)
        except emu.ProgramError as error:
            said = str(error)
        else:
            assert not model.blocked and not model.leftover and not any(s.overflows for s in model.sems.values())
            assert run.cycles == model.end, (run.cycles, model.end)
            return "ended"
        if any(s.overflows for s in model.sems.values()):
            assert "semaphore overflow" in said, said
            return "overflow"
        if model.blocked:
            rows = re.findall(rf"stream (\w+), word (\d+): .* waits for (?:{TOKENS}|{BARRIER})", said)
            told = {(s, int(pc), sem or bar, int(has or came), int(wants or most)) for s, pc, wants, sem, has, bar, came, most in rows}
            assert said.startswith("tokens: deadlock") and told == set(model.blocked), (said, model.blocked)
            return "deadlock"
        number, by = next(iter(model.leftover.items()))
        assert f"semaphore 's{number}' ({number}) ends {by:+d} against" in said, (said, model.leftover)
        return "leftover"


def test_tokens_and_queues() -> None:
    Tokens.outcomes = {}
    run_state_machine_as_test(Tokens, settings=checked(60, stateful_step_count=25))
    assert set(Tokens.outcomes) == {"ended", "overflow", "deadlock", "leftover"} and min(Tokens.outcomes.values()) > 20, Tokens.outcomes
