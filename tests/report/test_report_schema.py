"""Do the keys of a result say what they are, and are JSON and HTML faithful and safe?"""

import json
import typing

import numpy as np
import pytest
import samples

from emu.report import html, schema
from emu.report.json import dumps
from emu.result import Result

QUANTITIES = {"seconds", "joules", "watts", "cycles", "mfu", "mbu", "share", "ratio", "count"}
SUFFIXES = ("_s", "_bytes", "_per_s", "_per_token", "_share", "_fraction", "_watts", "_joules", "_version", "_len", "_hz", "_per_byte")
PLAIN_COUNTS = {"chips", "batch", "prompt", "generate", "seed", "cosine_to_reference", "sample", "combinations", "trials", "flops"}
SHAPES = {
    "estimate": schema.EstimateDict, "encoder": schema.EstimateDict, "op": schema.OpResultDict,
    "run": schema.RunDict, "infer": schema.InferDict, "infer_formats": schema.InferFormatsDict,
}


def typed_dicts():
    return [t for t in vars(schema).values() if isinstance(t, type) and typing.is_typeddict(t)]


@pytest.mark.parametrize("shape", typed_dicts(), ids=lambda t: t.__name__)
def test_every_number_says_its_unit(shape):
    for key, kind in typing.get_type_hints(shape).items():
        numeric = {int, float} & ({kind} | set(typing.get_args(kind)))
        if numeric and typing.get_origin(kind) not in (dict, list):
            assert key in QUANTITIES | PLAIN_COUNTS or key.endswith(SUFFIXES), f"{shape.__name__}.{key}"


@pytest.mark.parametrize("name", samples.ALL)
def test_samples_have_the_documented_keys(name):
    assert set(typing.get_type_hints(SHAPES[name])) <= set(samples.ALL[name])


def test_phase_and_row_keys():
    phase = samples.ESTIMATE["phases"]["decode"]
    assert set(typing.get_type_hints(schema.Phase)) == set(phase)
    assert set(typing.get_type_hints(schema.OpRow)) == set(phase["ops"][0])


def test_json_is_strict_and_knows_numpy():
    text = dumps({"a": np.float64(0.5), "b": np.int64(3), "c": np.arange(3), "d": [None, True, "é"], 5: {"x": (1, 2)}})
    assert json.loads(text) == {"a": 0.5, "b": 3, "c": [0, 1, 2], "d": [None, True, "é"], "5": {"x": [1, 2]}}
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps({"a": float("nan")})
    with pytest.raises(TypeError, match="object"):
        dumps({"a": object()})


@pytest.mark.parametrize("name", samples.ALL)
def test_json_round_trip(name):
    assert json.loads(dumps(samples.ALL[name])) == samples.ALL[name]


@pytest.mark.parametrize("name", samples.ALL)
def test_html_is_balanced_and_escaped(name):
    from html.parser import HTMLParser

    class Balance(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open: list[str] = []
            self.seen: set[str] = set()

        def handle_starttag(self, tag, attrs):
            self.open.append(tag)
            self.seen.add(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    hostile = samples.ALL[name] | {"chip": "<script>alert(1)</script>"}
    parser = Balance()
    parser.feed(html.repr_html(hostile))
    assert not parser.open and "table" in parser.seen and "script" not in parser.seen


def test_reported_draws_its_own_dict():
    class Sample(Result):
        def to_dict(self):
            return samples.OP

    assert json.loads(Sample().to_json())["kind"] == "op"
    assert "gemm 4096" in str(Sample()) and "gemm 4096" in Sample()._repr_html_()
