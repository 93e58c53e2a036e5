"""Are tables of measurements read as they are meant, and is whatever else is in a file refused with its place?"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu import EmuError
from emu.study.validate.rows import MAX_SHOWN, Row, TableError, read
from emu.study.validate.sample import sample
from emu.study.validate.suites import COUNT, DATA, SUITES, packaged

GEMM = "chip,dtype,m,n,k,latency_ms\n"
GOOD = "h100,bf16,16,256,128,0.004\n"


def _read(tmp_path: Path, content: str | bytes) -> list[Row]:
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path)


def test_the_three_kinds(tmp_path: Path) -> None:
    (gemm,) = _read(tmp_path, "# where it is from\n\n" + GEMM + GOOD)
    assert (gemm.kind, gemm.measured, gemm.flops, gemm.bytes) == ("gemm", 4e-6, 2 * 16 * 256 * 128, 2 * (16 * 128 + 128 * 256 + 16 * 256))
    header = "chip,dtype,m,n,k,latency_ms,board_power_w,power_limit_w\n"
    (power,) = _read(tmp_path, header + "h200,bf16,16,256,128,0.004,300.5,700\n")
    assert (power.kind, power.measured, power.seconds, power.limit_w) == ("power", 300.5, 4e-6, 700.0)
    columns = "chip,phase,batch_size,input_len,num_heads,num_key_value_heads,head_dim,attn_dtype,kv_cache_dtype,kv_len_before,window_size"
    lines = "a100,generation,2,1,8,2,64,bfloat16,bfloat16,99,,0.01\na100,context,2,64,8,2,64,bfloat16,fp8,0,0,0.02\n"
    decode, prefill = _read(tmp_path, f"{columns},latency_ms\n{lines}")
    assert decode["phase"] == "decode" and decode.flops == 4 * 2 * 8 * 64 * 100
    assert prefill.flops == 4 * 2 * 8 * 64 * (64 * 65 // 2) and prefill.bytes == 2 * 64 * 64 * (2 * 2 * 1 + 2 * 8 * 2)


def test_columns_may_come_in_any_order(tmp_path: Path) -> None:
    assert _read(tmp_path, "latency_ms,k,n,m,dtype,chip\n0.004,128,256,16,bf16,h100\n") == _read(tmp_path, GEMM + GOOD)


def test_equal_keys_are_averaged(tmp_path: Path) -> None:
    (row,) = _read(tmp_path, GEMM + "h100,bf16,16,256,128,0.004\nh100,bf16,16,256,128,0.006\nh100,bf16,16,256,128,0.008\n")
    assert row.measured == pytest.approx(6e-6) and row.times == 3


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("nan", "latency_ms: 'nan': expected a number above 0"), ("inf", "above 0 and below"), ("-0.004", "above 0"), ("0", "above 0"),
        ("1e300", "below"), ("fast", "expected a number"), ("", "expected a number"),
    ],
)  # fmt: skip
def test_a_measurement_that_is_none(tmp_path: Path, cell: str, says: str) -> None:
    with pytest.raises(TableError, match="t.csv:2") as caught:
        _read(tmp_path, GEMM + f"h100,bf16,16,256,128,{cell}\n" + GOOD)
    assert says in str(caught.value)


@pytest.mark.parametrize("cell", ["-1", "0", "1.5", "1e9", "99999999999999999999", "nan", "٣", "0x10", ""])
def test_a_size_that_is_none(tmp_path: Path, cell: str) -> None:
    with pytest.raises(TableError, match="t.csv:2: m: "):
        _read(tmp_path, GEMM + f"h100,bf16,{cell},256,128,0.004\n")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no rows"), ("# only words\n", "no rows"), ("a,b\n1,2\n", "no column is known"),
        ("chip,dtype,m,n,latency_ms\nh100,bf16,1,1,1\n", "columns are missing: k"), ("chip,chip,dtype,m,n,k,latency_ms\n", "twice"),
        (GEMM + "h100,bf16,16,256\n", "4 columns; the header has 6"), (GEMM + "h100,bf61,16,256,128,0.004\n", "did you mean 'bf16'"),
        (b"\x7fELF\x02\x01\x00\x00", "null bytes"), (b"\xff\xfe\x00\x01", "not UTF-8"),
        (GEMM + "\x1b[31m,bf16,1,1,1,1\n", "name of a chip"),
    ],
)  # fmt: skip
def test_what_is_no_table(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(TableError) as caught:
        _read(tmp_path, content)
    assert says in str(caught.value) and "t.csv" in str(caught.value)


def test_all_problems_at_once_but_not_without_end(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        _read(tmp_path, GEMM + "h100,bf16,0,256,128,0.004\n" * 500)
    lines = str(caught.value).split("\n")
    assert len(lines) == MAX_SHOWN + 1 and "480 more" in lines[-1]


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path, tmp_path / "absent.csv", Path("/dev/zero")):
        with pytest.raises(TableError, match=str(path)):
            read(path)
    monkeypatch.setattr("emu.study.validate.rows.MAX_BYTES", 20)
    with pytest.raises(TableError, match="may have 20"):
        _read(tmp_path, GEMM + GOOD)
    monkeypatch.undo()
    monkeypatch.setattr("emu.study.validate.rows.MAX_ROWS", 1)
    with pytest.raises(TableError, match="the limit is 1"):
        _read(tmp_path, GEMM + GOOD + GOOD)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=80), st.integers(0, 60))
def test_nothing_but_a_table_error(tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int) -> None:
    path = tmp_path_factory.mktemp("noise") / "t.csv"
    whole = (GEMM + GOOD).encode()
    path.write_bytes(whole[:place] + noise + whole[place:])
    try:
        rows = read(path)
    except EmuError as error:
        assert str(path) in str(error)
    else:
        assert all(r.measured > 0 and r.flops > 0 for r in rows)


MEMORY = [s for s in SUITES.values() if s.kind.startswith("memory")]


@pytest.mark.parametrize("suite", [s for s in SUITES.values() if s not in MEMORY], ids=lambda s: s.name)
def test_the_packaged_rows(suite) -> None:
    text = (DATA / f"{suite.name}.csv").read_text()
    rows = packaged(suite)
    assert text.startswith("#")
    if suite.kind == "instruction":
        assert "draw_laws.py" in text
    else:
        whole_table = 21  # an all-reduce on eight chips was measured for so many sizes
        assert "aiconfigurator" in text and "Apache License 2.0" in text
        assert suite.count == (whole_table if suite.name.startswith("all-reduce") else COUNT)
    assert len(rows) == suite.count == len(read(DATA / f"{suite.name}.csv"))
    assert len({r.decade for r in rows}) >= 2


@pytest.mark.parametrize("suite", MEMORY, ids=lambda s: s.name)
def test_the_packaged_rows_of_memory(suite) -> None:
    """Each says where it is from, every row belongs to the suite, and no two ask the same."""
    text = (DATA / f"{suite.name}.csv").read_text()
    rows = read(DATA / f"{suite.name}.csv")
    assert text.startswith("#") and any(source in text for source in ("gpu-benches", "microbench-blackwell", "aws-neuron-sdk"))
    assert packaged(suite) == rows and len(rows) >= 3 and all(r.times == 1 for r in rows)


def test_the_kinds_of_memory(tmp_path: Path) -> None:
    (time,) = _read(tmp_path, "chip,probe,clock_mhz,bytes,latency_ns\na100,chase,1410,2048,23.4\n")
    assert (time.kind, time.measured, time.bytes, str(time)) == ("memory-time", pytest.approx(23.4e-9), 2048, "a dependent load in 2 KiB")
    (rate,) = _read(tmp_path, "chip,probe,clock_mhz,bytes,gbytes_per_s\nb200,window,1965,4194304,7260\n")
    assert (rate.kind, rate.measured, str(rate)) == ("memory-rate", pytest.approx(7.26e12), "each core has under way 4 MiB")
    with pytest.raises(TableError, match="did you mean 'chase'"):
        _read(tmp_path, "chip,probe,clock_mhz,bytes,latency_ns\na100,chace,1410,2048,23.4\n")


def test_the_sample_depends_on_no_order() -> None:
    rows = packaged(SUITES["gemm-h100"])
    shuffled = list(rows)
    random.Random(3).shuffle(shuffled)
    assert sample(shuffled, COUNT) == rows
    for count in (1, 5, 10, 40):
        assert len(sample(rows, count)) == count and sample(shuffled, count) == sample(rows, count)
    forty = sample(rows, 40)
    sizes = {d: sum(r.decade == d for r in rows) for d in {r.decade for r in rows}}
    assert all(sum(r.decade == d for r in forty) >= min(3, n) for d, n in sizes.items())
    for d in sizes:
        drawn = sorted(r.digest for r in forty if r.decade == d)
        assert drawn == sorted(r.digest for r in rows if r.decade == d)[: len(drawn)]
