"""The shell face of emu. It holds no logic: it reads arguments and files, calls what Python users call, and prints what that returns.

Exit codes: 0 good, 1 a check or a bound failed, 2 bad input or program, 130 interrupted. Standard output carries only the result.
"""

import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; the console script hands it to ``sys.exit``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character gets a substitute, not a traceback
    try:
        from emu.cli.app import app  # half of a second's work is imports: Ctrl-C must find the try around them

        app(args=argv, prog_name="emu")
        code: object = 0
    except SystemExit as stop:
        code = stop.code
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        message = _explained(error)
        if message is None:
            raise  # a bug of emu: the traceback is what its authors need
        print(f"emu: {message}", file=sys.stderr)
        code = 2
    code = code if isinstance(code, int) else 0 if code is None else 2
    return _flushed(code)


def _explained(error: Exception) -> str | None:
    """One line for an error that is the input's fault, None for a bug."""
    from emu.errors import EmuError
    from emu.report.page import clean

    isa = sys.modules.get("isa")  # not imported: then it cannot have raised anything
    if isinstance(error, EmuError) or (isa is not None and isinstance(error, isa.IsaError)):
        return "\n".join(clean(line) for line in str(error).split("\n"))
    if isinstance(error, OSError) and error.strerror:
        return clean(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    if isinstance(error, MemoryError):
        return "out of memory; make the problem smaller or lower --max-memory to be told beforehand"
    return None


def _flushed(code: int) -> int:
    """``emu chips | head -1`` closes our output early, which is nobody's mistake; what does not fit a disk has been said already."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()
    except OSError as error:
        silence_stdout()
        if not code:
            print(f"emu: {error.strerror}", file=sys.stderr)
        code = code or 2
    return code


def silence_stdout() -> None:
    """After an output that failed: let the interpreter's last flush go nowhere instead of complaining."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
