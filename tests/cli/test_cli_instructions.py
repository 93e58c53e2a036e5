"""Do asm, disasm and run know instructions of the user's own when they are told where these are?"""

import pytest

SET = """
import emu
from emu.num import jit as num

mine = emu.InstructionSet("mine")

@emu.instruction(mine, cycles="elements / lanes", energy="0")
def vplain(x):
    "d0 = e^d1"
    return num.exp(x)
"""
PROGRAM = """
.program own
.buffer t sram 0 64 temp
.stream vec
        dset d0.space, sram
        vfill d0, d0
        vplain d0, d0
        halt
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "own.s").write_text(PROGRAM)
    (tmp_path / "my.py").write_text(SET)
    return tmp_path


def test_asm_disasm_and_run(shell, files):
    source, told = files / "own.s", ("--instructions", f"{files / 'my.py'}:mine")
    assert shell("asm", source, *told)[0] == 0
    code, text, _ = shell("disasm", files / "own.bin", *told)
    assert code == 0 and "vplain d0, d0" in text and ".extension vplain " in text
    code, out, err = shell("run", files / "own.bin", "--chip", "tiny", *told)
    assert code == 0, err
    assert "own on tiny" in out


@pytest.mark.parametrize("command", [("disasm", "own.bin"), ("run", "own.bin", "--chip", "tiny")])
def test_a_program_is_refused_by_the_name_of_what_it_needs(shell, files, command):
    assert shell("asm", files / "own.s", "--instructions", f"{files / 'my.py'}:mine")[0] == 0
    words = [files / word if word.endswith(".bin") else word for word in command]
    code, _, err = shell(*words)
    assert code == 2 and "'vplain'" in err and "does not have" in err
    (files / "my.py").write_text(SET.replace("num.exp(x)", "num.exp(x + x)"))
    code, _, err = shell(*words, "--instructions", f"{files / 'my.py'}:mine")
    assert code == 2 and "'vplain'" in err and "is not the one the program was made with" in err


@pytest.mark.parametrize(("text", "says"), [
    ("my.py", "expected FILE.py:NAME"), ("none.py:mine", "no such file"), ("my.py:mien", "did you mean 'mine'"),
    ("bad.py:mine", "NameError"),
])  # fmt: skip
def test_a_set_that_cannot_be_had(shell, files, text, says):
    (files / "bad.py").write_text("mine = nothing\n")
    code, _, err = shell("asm", files / "own.s", "--instructions", str(files / text))
    assert code == 2 and says in err
