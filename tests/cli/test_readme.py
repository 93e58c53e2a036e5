"""Does what the README tells people to type exist?"""

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("emu._core", reason="the compiled core is not built")

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_python_block_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    small = {"llama-3-8b": "gpt-2", "batch=8": "batch=1", "prompt=512": "prompt=16", "generate=128": "generate=2", "4096, ": "64, "}
    for long, short in small.items():
        assert long in block
        block = block.replace(long, short)
    exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "timeline.json").stat().st_size > 1000


@pytest.mark.parametrize("line", [c for c in re.findall(r"`(emu [^`]*)`", README)])
def test_every_command_and_option_exists(shell, line):
    words = shlex.split(line)[1:]
    commands = [word for word in words[:2] if word.replace("_", "").isalpha() and not word.isupper()]
    for command in (commands, commands[:1]):  # `emu op gemm`, or `emu chips` with an argument behind it
        code, out, _ = shell(*command, "--help")
        if code == 0:
            break
    assert code == 0
    for option in (word for word in words if word.startswith("--")):
        assert option in out


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (Path(__file__).parents[2] / target).exists(), target
