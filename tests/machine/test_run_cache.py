"""Is an answer from disk the one the core would give? And what can go wrong on a disk that is not a miss?"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import emu
from emu import _core
from emu.caching import caching
from emu.machine import kept
from emu.machine.image import Image
from emu.machine.store import BLOCK, LARGEST, SHARE, Store
from emu.mapper import choose, lower

TINY = emu.chip("tiny")
MODEL = emu.load_model("examples/models/tiny-llama/config.json")
GRAPH = MODEL.graph("decode", 2, 1, 40, "bf16", None, 48)
CHOICE = choose(GRAPH, TINY)
IMAGE = lower(GRAPH, TINY, CHOICE, 2).image
INPUTS = {b.name: [3, 5] for b in IMAGE.program.buffers if b.role == "index"}
KEY = "0" * 64


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The cache, on, in a folder of its own, and every run worth keeping."""
    monkeypatch.setenv("EMU_CACHE", "1")
    monkeypatch.setenv("EMU_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kept, "WORTH_S", -1.0)
    return tmp_path / "runs"


@pytest.fixture
def core(monkeypatch):
    """How often the core was called."""
    calls, run = [], _core.run
    monkeypatch.setattr(_core, "run", lambda *args: (calls.append(1), run(*args))[1])
    return calls


def once(image=IMAGE, chip=TINY, inputs=INPUTS, **how):
    options = {"values": False, "folding": True, "fast_forward": True, "reuse": True} | how
    return emu.Machine(chip, options.pop("fidelity", "fast")).run(image, inputs, **options)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


# --- the same answers


@pytest.mark.parametrize("name", ["tiny", "jalapeno", "h100"])
def test_estimates_are_the_same_without_with_an_empty_and_with_a_full_cache(folder, core, name):
    def asked():
        return emu.estimate(MODEL, emu.chip(name), batch=2, prompt=20, generate=6).to_dict()

    with caching(False):
        without = asked()
    assert not entries(folder)
    empty = asked()
    kept_now, calls = entries(folder), len(core)
    full = asked()
    assert without == empty == full
    assert kept_now and entries(folder) == kept_now and len(core) == calls


@pytest.mark.parametrize("folding", [True, False])
@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("fidelity", ["fast", "ideal"])
def test_a_run_from_disk_holds_all_that_a_run_holds(folder, core, folding, forward, fidelity):
    how = {"folding": folding, "fast_forward": forward, "fidelity": fidelity}
    first = once(**how)
    assert len(core) == 1
    again = once(**how)
    assert len(core) == 1
    assert again.raw == first.raw and list(again.raw["stalls"]) == list(first.raw["stalls"])
    assert {k: type(v) for k, v in again.raw.items()} == {k: type(v) for k, v in first.raw.items()}
    assert again.to_dict() == first.to_dict() and again.skipped_fraction == first.skipped_fraction


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["hbm.bandwidth", "hbm.latency", "core.clock", "core.dma.inflight", "sync.semaphore", "core.vector.per_clk.mul"]),
        st.integers(1, 60),
        max_size=3,
    )
)
def test_chips_that_differ_never_share_an_answer(folder, changes):
    units = {"hbm.bandwidth": " GB/s", "hbm.latency": " ns", "core.clock": "00 MHz", "core.dma.inflight": " KiB", "sync.semaphore": " clk"}
    chip = TINY.vary({name: f"{n}{units[name]}" if name in units else n for name, n in changes.items()})
    kept_run = once(chip=chip)
    with caching(False):
        assert once(chip=chip).raw == kept_run.raw


def test_everything_the_core_is_given_is_in_the_key(folder, core):
    """Chip, fidelity, program, inputs, limits and short-cuts: each change is a run of its own."""
    once()
    other = lower(GRAPH, TINY, CHOICE, 1).image
    once(chip=TINY.vary({"hbm.bandwidth": "63 GB/s"}))
    once(fidelity="ideal")
    once(other)
    once(inputs={name: [3, 6] for name in INPUTS})
    once(max_instructions=10**8)
    once(folding=False)
    once(fast_forward=False)
    once(order_seed=1)
    assert len(core) == len(entries(folder)) == 9
    once(chip=TINY.vary({"energy.vec_add": "9 pJ", "power.static": "1 W"}))  # the core knows no joules
    assert len(core) == 9


def test_a_changed_program_is_another_one(folder, core):
    image = IMAGE.copy()
    once(image)
    image.program.labels[0] = "renamed"
    once(image)
    assert len(core) == 1
    image.program.params[0] = tuple(n + 64 for n in image.program.params[0])
    emu.Machine(TINY).run(Image.of(image.program), INPUTS, values=False, folding=True, fast_forward=True, reuse=True, verify=False)
    assert len(core) == 2


@pytest.mark.parametrize("how", [{"reuse": False}, {"check": True}, {"trace": True}])
def test_runs_that_check_or_record_are_not_kept(folder, how):
    once(**how)
    assert not entries(folder)


def test_failures_are_not_kept(folder, core):
    for _ in range(2):
        with pytest.raises(emu.ProgramError):
            once(max_instructions=10, fast_forward=False, folding=False)
    assert len(core) == 2 and not entries(folder)


def test_short_runs_are_not_kept(folder, monkeypatch):
    monkeypatch.setattr(kept, "WORTH_S", 10.0)
    once()
    assert not entries(folder)


def test_another_core_has_other_answers(folder, core, monkeypatch):
    once()
    monkeypatch.setattr(kept, "_build", lambda: "rebuilt")
    once()
    assert len(core) == 2


def test_a_core_rebuilt_under_a_running_process_is_not_trusted(folder, monkeypatch, tmp_path):
    for other in (tmp_path / "core.so", tmp_path / "gone.so"):
        kept._build.cache_clear()
        (tmp_path / "core.so").write_bytes(b"x")
        monkeypatch.setattr(kept, "_CORE", other)
        once()
    kept._build.cache_clear()
    assert not entries(folder)


# --- the switch


def test_the_environment_and_the_switch_put_it_off(folder, monkeypatch):
    with caching(False):
        once()
        with caching(True):  # what was put off outside stays off
            once()
    monkeypatch.setenv("EMU_CACHE", "0")
    once()
    with caching(True):
        once()
    assert not folder.exists()


@pytest.mark.parametrize("name, value", [("EMU_CACHE", "perhaps"), ("EMU_CACHE_MB", "0"), ("EMU_CACHE_MB", "many"), ("EMU_CACHE_MB", "-5")])
def test_variables_that_say_nothing_sensible_are_refused(folder, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(emu.CacheError, match=f"{name}='{value}': expected"):
        once()


@pytest.mark.parametrize("kind", ["a file", "below a file", "null"])
def test_a_folder_asked_for_that_cannot_be_written_is_an_error(folder, monkeypatch, tmp_path, kind):
    (tmp_path / "file").write_text("")
    where = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "below", "null": Path("/dev/null")}[kind]
    monkeypatch.setenv("EMU_CACHE_DIR", str(where))
    with pytest.raises(emu.CacheError, match="cannot be written.*EMU_CACHE=0"):
        once()


def test_a_folder_of_nobody_is_an_error(folder, monkeypatch):
    monkeypatch.setenv("EMU_CACHE_DIR", "~no such user/cache")
    with pytest.raises(emu.CacheError, match="EMU_CACHE_DIR='~no such user/cache': .*EMU_CACHE=0"):
        once()


def test_the_users_folder_that_cannot_be_written_is_no_cache(folder, core, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("EMU_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *a, **k: tmp_path / "file")
    assert once().raw == once().raw and len(core) == 2


def test_the_users_folder_is_the_systems(monkeypatch, tmp_path):
    from emu.caching import settings as now

    monkeypatch.delenv("EMU_CACHE_DIR", raising=False)
    monkeypatch.setenv("EMU_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("EMU_CACHE_MB", "12")
    found = now()
    assert found is not None and not found.named and found.bound_bytes == 12 * 10**6
    if sys.platform == "linux":
        assert found.folder == tmp_path / "emu"


def test_no_cache_in_the_shell(tmp_path):
    # On a chip with a cache, where no short-cut makes the run too cheap to be worth keeping, whatever the machine.
    words = ["op", "gemm", "--chip", "h100", "--m", "1024", "--n", "4096", "--k", "4096", "--json", "--quiet"]
    environment = os.environ | {"EMU_CACHE": "1", "EMU_CACHE_DIR": str(tmp_path)}

    def shell(*more):
        return subprocess.run([sys.executable, "-m", "emu", *words, *more], env=environment, capture_output=True, text=True)

    without = shell("--no-cache")
    assert without.returncode == 0 and not entries(tmp_path)
    assert [shell().stdout, shell().stdout] == [without.stdout] * 2 and entries(tmp_path / "runs")
    (tmp_path / "file").write_text("")
    environment["EMU_CACHE_DIR"] = str(tmp_path / "file")
    refused = shell()
    assert refused.returncode == 2 and "EMU_CACHE_DIR" in refused.stderr and "Traceback" not in refused.stderr


# --- what may stand on a disk


def an_entry(folder: Path) -> tuple[Path, bytes]:
    once()
    (path,) = entries(folder)
    return path, path.read_bytes()


def signed(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode() + b"\n" + data


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_entry_is_a_miss_and_goes(folder, data):
    for old in entries(folder):
        old.unlink()
    path, whole = an_entry(folder)
    right = once().raw
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    damaged = data.draw(st.sampled_from([whole[:at], whole[at + 1 :], flipped, whole + b" ", whole[:at] + whole, b"", b"\n"]))
    if damaged == whole:
        return
    path.write_bytes(damaged)
    assert Store(folder, 1 << 30).get(path.name) is None and not path.exists()
    path.write_bytes(damaged)
    assert once().raw == right and path.read_bytes() == whole


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=5), below, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_forged_entry_of_a_wrong_shape_is_a_miss(folder, data):
    """Signed rightly, but something in it is replaced: by anything JSON can say, at any depth."""
    for old in entries(folder):
        old.unlink()
    path, whole = an_entry(folder)
    forged = json.loads(whole.partition(b"\n")[2])
    node, name = forged, data.draw(st.sampled_from(sorted(forged)))
    while isinstance(node[name], list) and node[name] and data.draw(st.booleans()):
        node, name = node[name], data.draw(st.integers(0, len(node[name]) - 1))
    old, new = node[name], data.draw(JSON)
    node[name] = new
    path.write_bytes(signed(json.dumps(forged).encode()))
    once().to_dict()
    plausible = type(old) is type(new) is int and new >= 0 or type(new) is list and name == "releases"
    assert plausible or path.read_bytes() == whole


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000, b'{"a":' * 50_000, b"9" * 100_000, b"{}", b"null", b"\xff\xfe", b"NaN", b'"' + b"x" * 10**6 + b'"', b"1e999",
    ],
    ids=["nested lists", "nested tables", "a long number", "empty", "null", "no text", "NaN", "a long text", "infinity"],
)  # fmt: skip
def test_hostile_text_is_a_miss(folder, core, data):
    path, whole = an_entry(folder)
    path.write_bytes(signed(data))
    once()
    assert len(core) == 2 and path.read_bytes() == whole


@pytest.mark.parametrize("kind", ["huge", "fifo", "link", "folder", "loop"])
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
def test_what_is_no_file_of_ours_is_never_read(folder, kind):
    path, whole = an_entry(folder)
    path.unlink()
    if kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path)
    begin = time.monotonic()
    once()
    once()
    assert time.monotonic() - begin < 5
    assert kind == "folder" or path.read_bytes() == whole


def test_a_folder_that_vanishes_is_made_again(folder, core):
    path, _ = an_entry(folder)
    path.unlink()
    folder.rmdir()
    once()
    assert entries(folder) == [path] and len(core) == 2


# --- the store


def occupied(folder: Path) -> int:
    return sum(-(-p.stat().st_size // BLOCK) * BLOCK for p in entries(folder))


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 60_000), max_size=120), st.integers(20, 300))
def test_one_process_stays_within_the_bound(tmp_path, sizes, blocks):
    folder = tmp_path / "bounded"
    for old in entries(folder):
        old.unlink()
    store = Store(folder, blocks * BLOCK)
    for j, size in enumerate(sizes):
        store.put(f"{j:064x}", b"x" * size)
        assert occupied(folder) <= store.bound_bytes + BLOCK
        assert store.get(f"{j:064x}") in (b"x" * size, None)
        if size <= store.bound_bytes // SHARE - BLOCK:
            assert store.get(f"{j:064x}") is not None


def test_the_least_recently_used_go_first(tmp_path):
    store = Store(tmp_path, 64 * BLOCK)
    for j in range(50):
        store.put(f"{j:064x}", b"x" * 100)
        os.utime(tmp_path / f"{j:064x}", (1000 + j, 1000 + j))
    assert store.get(f"{0:064x}") is not None  # now it is the latest
    for j in range(50, 80):
        store.put(f"{j:064x}", b"x" * 100)
    assert store.get(f"{0:064x}") is not None and store.get(f"{1:064x}") is None and store.get(f"{79:064x}") is not None


def test_files_of_others_are_left_alone_and_forgotten_ones_go(tmp_path):
    (tmp_path / "thesis.tex").write_bytes(b"x" * 10**6)
    (tmp_path / ".emu-old.tmp").write_bytes(b"x")
    (tmp_path / ".emu-new.tmp").write_bytes(b"x")
    os.utime(tmp_path / ".emu-old.tmp", (1000, 1000))
    Store(tmp_path, 16 * BLOCK).put(KEY, b"x")
    assert {p.name for p in entries(tmp_path)} == {"thesis.tex", ".emu-new.tmp", KEY}


def test_an_entry_too_large_is_not_kept(tmp_path):
    store = Store(tmp_path, 1 << 30)
    store.put(KEY, b"x" * (LARGEST + 1))
    assert not entries(tmp_path)
    store.put(KEY, b"x" * LARGEST)
    assert store.get(KEY) == b"x" * LARGEST


def test_a_full_disk_is_no_error(tmp_path, monkeypatch):
    store = Store(tmp_path, 1 << 30)
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    store.put(KEY, b"x")
    assert store.get(KEY) is None and not entries(tmp_path)


WRITER = """
import random, sys
from pathlib import Path
from emu.machine.store import Store
store, draw = Store(Path(sys.argv[1]), int(sys.argv[2])), random.Random(int(sys.argv[3]))
for _ in range(150):
    j = draw.randrange(60)
    store.put(f"{j:064x}", bytes([j]) * (1000 + 100 * j))
    j = draw.randrange(60)
    assert store.get(f"{j:064x}") in (None, bytes([j]) * (1000 + 100 * j))
"""


def test_many_processes_share_it(tmp_path):
    """They see whole entries or none, and together stay within the bound and what each may write between two looks."""
    bound, writers = 40 * BLOCK, 3
    begun = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(bound), str(j)]) for j in range(writers)]
    assert [process.wait(300) for process in begun] == [0] * writers
    assert all(p.name.startswith("0") for p in entries(tmp_path))
    assert occupied(tmp_path) <= bound + writers * (bound // SHARE + 2 * BLOCK)


def test_many_threads_share_it(folder):
    chips = [TINY.vary({"hbm.latency": f"{50 + j} ns"}) for j in range(4)] * 4
    with ThreadPoolExecutor(4) as pool:
        found = [run.end_fs for run in pool.map(lambda chip: once(chip=chip), chips)]
    assert found[:4] == found[4:8] == found[8:12] == found[12:]
    assert len(entries(folder)) == 4
