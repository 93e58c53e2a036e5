"""Files named on the command line: programs and arrays. They are somebody else's: sizes are checked first, nothing in them is executed."""

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emu.errors import EmuError, ProgramError

if TYPE_CHECKING:
    import numpy as np

    from isa import InstructionSet, Program

MAGIC = b"EMUP"
NPY_MAGIC = b"\x93NUMPY"
MAX_PROGRAM_BYTES = 256 << 20
MAX_RESULT_BYTES = 64 << 20


def _size(path: Path) -> int:
    """In bytes; a device or a pipe has none, and reading it would never end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ProgramError(f"{path}: not a regular file")
    return status.st_size


def read_program(path: Path, known: "InstructionSet | None" = None) -> "Program":
    """Assembly text or a binary program, told apart by the first four bytes; `known`: a set with users' instructions."""
    import isa

    if _size(path) > MAX_PROGRAM_BYTES:
        raise ProgramError(f"{path}: larger than {MAX_PROGRAM_BYTES >> 20} MiB, which no program is")
    data = path.read_bytes()
    try:
        return isa.Program.from_bytes(data, known) if data.startswith(MAGIC) else isa.assemble(data.decode(), known)
    except UnicodeDecodeError as error:
        raise ProgramError(f"{path}: neither a binary program (it would begin with {MAGIC.decode()}) nor UTF-8 text") from error
    except isa.IsaError as error:
        raise ProgramError(f"{path}: {error}") from error


def read_result(path: Path, option: str) -> dict[str, Any]:
    """What a command printed with ``--json``."""
    import json

    if _size(path) > MAX_RESULT_BYTES:
        raise EmuError(f"{option} {path}: larger than {MAX_RESULT_BYTES >> 20} MiB, which no result is")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise EmuError(f"{option} {path}: not the JSON of a result ({error})") from error
    if not isinstance(found, dict):
        raise EmuError(f"{option} {path}: expected the JSON of a result, an object")
    return found


def split_binding(text: str, option: str) -> tuple[str, Path]:
    """``x=some/file.npy`` -> ("x", Path)."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise ProgramError(f"{option} {text}: expected BUFFER=FILE, for example {option} x=x.npy")
    return name, Path(path)


def will_write(path: Path | None, option: str) -> None:
    """Refuse a place that cannot be written now, rather than after minutes of work."""
    if path is None:
        return
    if path.is_dir():
        raise EmuError(f"{option} {path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise EmuError(f"{option} {path}: there is no folder {path.parent}")


def read_array(path: Path, max_bytes: int) -> "np.ndarray":
    """A .npy array. The header is believed only as far as the file's size bears it out; pickled objects are refused."""
    import numpy as np

    size = _size(path)
    if size > max_bytes:
        raise ProgramError(f"{path}: {size} bytes, more than the limit of {max_bytes} (--max-memory)")
    with path.open("rb") as file:
        if file.read(len(NPY_MAGIC)) != NPY_MAGIC:
            raise ProgramError(f"{path}: not a .npy file (numpy.save writes them)")
    try:
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ProgramError(f"{path}: not a .npy array of numbers ({error})") from error


def write_array(path: Path, array: "np.ndarray") -> None:
    """Formats numpy has no name for (bf16, fp8) are written as float32, which holds every one of their values."""
    import numpy as np

    with path.open("wb") as file:  # np.save given a path would add a suffix nobody asked for
        np.save(file, array if array.dtype.isbuiltin == 1 else array.astype(np.float32), allow_pickle=False)
