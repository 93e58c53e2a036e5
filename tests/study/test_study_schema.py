"""Have the dicts of studies the keys that their schema documents, every row included?"""

from __future__ import annotations

import json
import typing

import pytest
import study_support as support

import emu
from emu.report import schema


@pytest.fixture(scope="module")
def results():
    asked = {"chip": "tiny", "model": support.llama(), "prompt": 8, "generate": 2}
    study = emu.Study(**asked, vary={"batch": [1, 10**9]})
    estimate = emu.estimate(support.llama(), "tiny", prompt=8, generate=2)
    return {
        schema.StudyDict: study.run(jobs=1), schema.ComparisonDict: emu.compare(["tiny"], support.llama(), prompt=8, generate=2, jobs=1),
        schema.SensitivityDict: estimate.sensitivity(["hbm.latency"]), schema.RooflineDict: estimate.roofline(),
    }  # fmt: skip


def test_keys_are_those_documented(results):
    for shape, result in results.items():
        found = json.loads(result.to_json())
        missing = set(typing.get_type_hints(shape)) - set(found)
        assert not missing, (shape.__name__, missing)
    for shape, of in ((schema.RooflineRow, schema.RooflineDict), (schema.SensitivityRow, schema.SensitivityDict)):
        for row in results[of].to_dict()["rows"]:
            assert set(row) <= set(typing.get_type_hints(shape))
    assert set(results[schema.RooflineDict].rows[0]) == set(typing.get_type_hints(schema.RooflineRow))


def test_a_search_too():
    pytest.importorskip("optuna")
    study = emu.Study(chip="tiny", model=support.llama(), prompt=8, generate=2, vary={"batch": [1, 2]})
    found = study.search(maximize="tokens_per_s", trials=2, jobs=1).to_dict()
    assert not set(typing.get_type_hints(schema.SearchDict)) - set(found)
