"""What only shows in a process of its own: start-up time, pipes, signals, help on a screen."""

import os
import signal
import subprocess
import sys
import time

import pytest

HEAVY = ("numba", "matplotlib", "pandas", "pydantic", "ml_dtypes", "rich")


def cpu_seconds(code):
    """CPU time of that code alone, best of three: the start of the interpreter does not count."""
    measured = f"import time; t = time.process_time(); {code}; print(time.process_time() - t)"
    runs = [subprocess.run([sys.executable, "-c", measured], capture_output=True, text=True, check=True).stdout for _ in range(3)]
    return min(float(out) for out in runs)


def test_import_is_quick():
    assert cpu_seconds("import emu") < 0.05


@pytest.mark.parametrize("module", HEAVY)
def test_import_pulls_in_nothing_heavy(module):
    loaded = f"import sys, emu; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded]).returncode == 0


def test_help_is_quick_and_fits_a_screen(process):
    best = 9.0
    for _ in range(3):
        start = time.perf_counter()
        done = process("--help")
        best = min(best, time.perf_counter() - start)
        assert done.returncode == 0 and done.stderr == ""
    assert best < 1.5  # 0.2 s where nothing else runs; half a second is promised
    lines = done.stdout.split("\n")
    assert len(lines) <= 32 and max(map(len, lines)) <= 100
    for command in ("chips", "models", "estimate", "infer", "op", "run", "asm", "disasm", "sweep", "search", "report", "trace"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize("command", [
    "estimate", "infer", "run", "asm", "disasm", "op", "chips", "models", "op gemm", "op attention", "chips show", "sweep",
    "search", "report", "trace",
])
def test_help_of_every_command_fits_a_screen(shell, command):
    code, out, _ = shell(*command.split(), "--help")
    assert code == 0 and len(out.split("\n")) <= 40 and max(map(len, out.split("\n"))) <= 100


def test_version(process):
    import emu

    assert process("--version").stdout == f"emu {emu.__version__}\n"


def test_a_reader_that_leaves_is_no_error():
    command = f"set -o pipefail; {sys.executable} -m emu chips show tiny | head -1"
    for _ in range(3):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("tiny")


def test_closed_stdout_before_the_start():
    done = subprocess.run(["bash", "-c", f"{sys.executable} -m emu models --json >/dev/full"], capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "No space left" in done.stderr


def test_ascii_terminal_gets_substitutes(process):
    done = process("models", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and "llama-3-8b" in done.stdout and done.stderr == ""


def test_ctrl_c_while_working(tmp_path):
    """A real SIGINT in the middle of a command: 130, no traceback, nothing on stdout."""
    slow = (
        "import sys, time, types, emu\n"
        "def estimate(*a, **k):\n    print('working', file=sys.stderr, flush=True)\n    time.sleep(60)\n"
        "emu.study = types.SimpleNamespace(estimate=estimate)\n"
        "from emu.cli import main\n"
        "sys.exit(main(['estimate', 'gpt-2', '--chip', 'tiny']))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", slow], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stderr.readline() == "working\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 130 and out == "" and "Traceback" not in err


def test_no_color_is_respected_on_a_terminal():
    pty = pytest.importorskip("pty")
    for no_color in ("", "1"):
        master, slave = pty.openpty()
        env = os.environ | {"NO_COLOR": no_color, "TERM": "xterm-256color", "COLUMNS": "90"}
        done = subprocess.run([sys.executable, "-m", "emu", "models"], stdout=slave, stderr=subprocess.PIPE, env=env)
        os.close(slave)
        text = os.read(master, 1 << 16).decode()
        os.close(master)
        assert done.returncode == 0 and ("\x1b[" in text) == (no_color == "")
