"""Is what cannot be done refused by name, with what would help?"""

from __future__ import annotations

import pytest
import study_support as support

import emu
from emu import CapacityError, ChipError, EmuError, ModelError, UnsupportedError


def test_a_model_too_large_says_what_would_fit():
    """Weights alone, and weights with their cache."""
    with pytest.raises(CapacityError, match=r"gpt-3-175b needs 3\d\d\.\d GB of weights.*h100 has 8\d\.\d GB.*5 such chips.*fp8"):
        emu.estimate("gpt-3-175b", "h100")
    with pytest.raises(CapacityError, match=r"llama-2-7b.*cache.*a batch of about [0-9]+ would fit"):
        emu.estimate("llama-2-7b", "h100", batch=64, prompt=4000, generate=10)


def test_what_fits_by_the_message_fits():
    """The hint is true: weights, cache and activations of that batch fit, and those of a slightly larger one do not."""
    chip, model = support.chip_named("h100"), emu.model("llama-2-7b")
    with pytest.raises(CapacityError) as error:
        emu.estimate(model, chip, batch=64, prompt=4000, generate=10)
    hint = int(str(error.value).split("a batch of about ")[1].split()[0])

    def need(batch):
        graph = model.graph("prefill", batch, 4000, 4000, "bf16", None, 4009)
        return graph.weight_bytes + graph.kv_bytes() + graph.activation_bytes

    assert need(hint) <= chip.hbm.capacity_bytes < need(hint + 2)


def test_a_scratchpad_too_small_says_so():
    chip = support.chip_named("tiny").vary({"core.sram.capacity": "8 KiB", "core.acc.capacity": "1 KiB"})
    with pytest.raises(CapacityError, match="does not fit a core of tiny|fits a core of tiny"):
        emu.estimate(support.llama(hidden_size=512, intermediate_size=1024), chip, prompt=8, generate=2)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"dtype": "bf61"}, UnsupportedError, "bf61.*bf16"),
        ({"dtype": "fp32"}, UnsupportedError, "fp32"),
        ({"kv_dtype": "nonsense"}, UnsupportedError, "nonsense"),
        ({"stack": "vlm"}, UnsupportedError, "jalapeno has no stack 'vlm'"),
        ({"chips": 2}, UnsupportedError, "chips = 2"),
        ({"batch": 0}, UnsupportedError, "batch = 0.*at least 1"),
        ({"prompt": 1.5}, UnsupportedError, "prompt = 1.5"),
        ({"generate": -3}, UnsupportedError, "generate = -3"),
        ({"prompt": 9000}, UnsupportedError, "9127 tokens.*8192"),
        ({"prompt": 8100, "generate": 200}, UnsupportedError, "8299 tokens.*8192"),
        ({"fidelity": "perfect"}, UnsupportedError, "perfect"),
    ],
)
def test_estimate(change, error, says):
    with pytest.raises(error, match=says):
        emu.estimate("llama-3-8b", "jalapeno", **change)


def test_names_that_are_nearly_right():
    with pytest.raises(ModelError, match="llama-3-8b"):
        emu.estimate("llama3-8b", "jalapeno")
    with pytest.raises(ChipError, match="jalapeno"):
        emu.estimate("llama-3-8b", "jalapino")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: emu.gemm("jalapeno", 0, 4, 4),
        lambda: emu.gemm("jalapeno", 4, 4.0, 4),
        lambda: emu.gemm("jalapeno", 4, 4, 4, dtype="fp5"),
        lambda: emu.gemm("jalapeno", 4, 4, 4, dtype="fp32"),
        lambda: emu.gemm("jalapeno", 4, 4, 4, stack="none"),
        lambda: emu.gemm("jalapeno", 4, 4, 4, fidelity="exact"),
        lambda: emu.attention("jalapeno", "middle"),
        lambda: emu.attention("jalapeno", "prefill", q_heads=5, kv_heads=2),
        lambda: emu.attention("jalapeno", "prefill", q_len=8, kv_len=4),
        lambda: emu.attention("jalapeno", "decode", kv_len=0),
        lambda: emu.attention("jalapeno", "decode", kv_len=64, kv_dtype="int3"),
    ],
)
def test_operations(ask):
    with pytest.raises(EmuError) as error:
        ask()
    assert len(str(error.value)) > 10


def test_infer_wants_an_encoder_with_weights(tmp_path):
    import json

    (tmp_path / "config.json").write_text(json.dumps(support.LLAMA))
    with pytest.raises(EmuError, match="encoder"):
        emu.infer(tmp_path, "tiny", "hello")
    with pytest.raises(EmuError):
        emu.infer(tmp_path / "nowhere", "tiny", "hello")
