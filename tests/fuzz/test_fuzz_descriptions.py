"""Is a broken chip file, config.json or safetensors header refused with an EmuError, or a chip or model that can be used?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fuzz_support import bounded, edited, edited_json, edited_lines
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

import emu
import isa
from emu.chip.document import PRESETS as CHIPS
from emu.models.checkpoint import open_checkpoint
from emu.testing import checked

TOML = {path.stem: path.read_text() for path in sorted(CHIPS.glob("*.toml"))}
MODELS = Path(emu.__file__).parent / "models" / "presets"
CONFIGS = [json.loads(path.read_text()) for path in sorted(MODELS.glob("*.json"))]
COPY = isa.assemble((Path(__file__).parents[2] / "examples" / "copy.s").read_text())
TENSORS = {"a.weight": np.ones((3, 5), np.float32), "b": np.zeros(7, np.float16), "empty": np.zeros((0, 4), np.float32)}
WEIGHTS = save(TENSORS, {"format": "pt"})
HEADER = json.loads(WEIGHTS[8 : 8 + int.from_bytes(WEIGHTS[:8], "little")])
BODY = WEIGHTS[8 + int.from_bytes(WEIGHTS[:8], "little") :]


def use(chip: emu.Machine) -> None:
    """A chip that was accepted runs programs, or says why not."""
    chip.run(COPY, values=False, max_instructions=10_000)


def test_chip_files(tmp_path: Path) -> None:
    ends = {"refused": 0, "accepted": 0}
    path = tmp_path / "fuzzed.toml"

    @checked(250)
    @given(st.sampled_from(["tiny", "tiny", "h100", "jalapeno"]).flatmap(lambda name: edited_lines(TOML[name])))
    def refused_or_used(text: str) -> None:
        path.write_text(text)
        with bounded():
            try:
                chip = emu.load_chip(path)
                ends["accepted"] += 1
                use(emu.Machine(chip))
            except emu.EmuError as error:
                ends["refused"] += 1
                assert str(error)

    refused_or_used()
    assert min(ends.values()) > 25, ends


def test_a_file_that_looks_like_one_figure(tmp_path: Path) -> None:
    """Found by the fuzzer: it once ended in a traceback."""
    path = tmp_path / "figure.toml"
    for value in ("[1, 2]", "3", "{a = 1}"):
        path.write_text(f"value = {value}\n{TOML['tiny']}")
        with pytest.raises(emu.ChipError, match="value: unknown key|unknown key in a figure"):
            emu.load_chip(path)


def test_a_figure_that_no_machine_counts_to() -> None:
    """Found by the fuzzer: a number beyond 64 bits once ended in a traceback."""
    chip = emu.chip("tiny").vary({"hbm.bandwidth": "1e30 B/s"})
    with pytest.raises(emu.UnsupportedError, match="tiny: hbm_bytes_per_s becomes 10{15,}"):
        emu.Machine(chip)


@checked(80)
@given(st.sampled_from(["tiny", "h100"]).flatmap(lambda name: edited(TOML[name].encode())))
def test_bytes_of_chip_files(tmp_path_factory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    path.write_bytes(data)
    with bounded():
        try:
            use(emu.Machine(emu.load_chip(path)))
        except emu.EmuError:
            pass


def test_configs(tmp_path: Path) -> None:
    """What is accepted has a graph, and its sizes are numbers."""
    ends = {"refused": 0, "accepted": 0}
    path = tmp_path / "config.json"

    @checked(300)
    @given(st.sampled_from(CONFIGS).flatmap(edited_json))
    def refused_or_used(data: bytes) -> None:
        path.write_bytes(data)
        with bounded():
            try:
                model = emu.load_model(path)
                graph = model.graph("encode", 1, 8) if model.kind == "encoder" else model.graph("decode", 1, 1, 8, "bf16", None, 8)
                assert graph.flops > 0 and graph.compulsory_bytes > 0
                ends["accepted"] += 1
            except emu.EmuError as error:
                ends["refused"] += 1
                assert str(error)

    refused_or_used()
    assert min(ends.values()) > 25, ends


def weights(header: bytes, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + BODY


def test_safetensors(tmp_path: Path) -> None:
    """What is accepted can be read, tensor by tensor."""
    ends = {"refused": 0, "accepted": 0}
    path = tmp_path / "model.safetensors"
    headers = edited_json(HEADER).map(weights)
    lengths = st.sampled_from([0, 1, len(json.dumps(HEADER)), 1 << 20, 1 << 40, (1 << 63) + 1, (1 << 64) - 1])
    wrong = lengths.map(lambda n: weights(json.dumps(HEADER).encode(), n))

    @checked(300)
    @given(st.one_of(headers, edited(WEIGHTS), wrong))
    def refused_or_read(data: bytes) -> None:
        path.write_bytes(data)
        with bounded():
            try:
                checkpoint = open_checkpoint(path)
                for name in checkpoint.entries:
                    assert checkpoint.read(name).shape == checkpoint.entries[name].shape
                ends["accepted"] += 1
            except emu.EmuError as error:
                ends["refused"] += 1
                assert str(error)

    refused_or_read()
    assert min(ends.values()) > 15, ends
