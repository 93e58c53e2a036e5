"""Does `--open` serve Perfetto and the timeline to this machine, and to nobody else?"""

import http.client
import json
import threading

import browser
import pytest

import emu
from emu.report import serve

pytest.importorskip("viztracer")


@pytest.fixture
def timeline(tmp_path):
    path = tmp_path / "t.json"
    emu.estimate("examples/models/tiny-llama/config.json", "tiny", prompt=8, generate=2).trace(path)
    return path


@pytest.fixture
def running(timeline):
    with serve.server(timeline) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address
        server.shutdown()
        thread.join()


def get(address, path, **headers):
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_timeline_and_the_page_are_there(running, timeline):
    assert running[0] == "127.0.0.1"
    status, page = get(running, "/")
    assert status == 200 and b"Perfetto" in page
    assert get(running, "/localtrace") == (200, timeline.read_bytes())
    assert json.loads(get(running, "/vizviewer_info")[1]) == {"is_flamegraph": False}
    assert get(running, "/../../../../etc/passwd")[0] == 404
    assert get(running, "/localtrace", Host="evil.example")[0] == 403


def test_perfetto_shows_it(running):
    """The page asks for the timeline by itself, and its engine takes it."""
    _, console = browser.opened(f"http://127.0.0.1:{running[1]}/", "--dump-dom", "--virtual-time-budget=20000")
    assert any("Opening trace" in line for line in console), console


@pytest.mark.parametrize(("content", "wanted"), [(None, "no such timeline"), ("not one", "not a timeline")])
def test_what_is_no_timeline(tmp_path, content, wanted):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(emu.EmuError, match=wanted):
        serve.server(path)
