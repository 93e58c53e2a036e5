"""Where in a kernel's source an operation was written, for error messages and for the program's line table."""

from __future__ import annotations

import linecache
import os
import sys
from types import FrameType

_LANG = os.path.dirname(os.path.abspath(__file__))
_HERE = (_LANG + os.sep, os.path.join(os.path.dirname(os.path.dirname(_LANG)), "extension") + os.sep)
"""Where the language itself stands; instructions of a user's own emit themselves."""
_texts: dict[tuple[str, int], str] = {}


def _user_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return frame


def text_of(file: str, number: int) -> str:
    text = _texts.get((file, number))
    if text is None:
        text = f"{os.path.basename(file)}:{number} {linecache.getline(file, number).strip()}"
        _texts[file, number] = text
    return text


def source_line() -> str:
    """`file:line text` of the innermost caller outside the language itself."""
    frame = _user_frame()
    return "" if frame is None else text_of(frame.f_code.co_filename, frame.f_lineno)


def call_site(depth: int = 3) -> tuple[str, tuple[tuple[str, int], ...]]:
    """The source line and an identity of the chain of calls that led there, to tell a Python loop from many different lines."""
    frame = _user_frame()
    if frame is None:
        return "", ()
    line = text_of(frame.f_code.co_filename, frame.f_lineno)
    chain: list[tuple[str, int]] = []
    at: FrameType | None = frame
    while at is not None and len(chain) < depth:
        chain.append((at.f_code.co_filename, at.f_lineno))
        at = at.f_back
    return line, tuple(chain)
