"""Questions and answers: `estimate` a model on a chip, one operation (`gemm`, `attention`), `infer` with real weights,
or `tune` a kernel of one's own."""

# Not lazily: `estimate` and `infer` share names with the modules they live in; what is bound last is what `emu.study.estimate` means.
from emu.study.collective import collective
from emu.study.estimate import Estimate, estimate
from emu.study.formats import FormatsResult, infer_formats
from emu.study.infer import InferResult, infer
from emu.study.op import OpResult, attention, gemm
from emu.study.tuning import Tuning, tune

__all__ = [
    "Estimate", "FormatsResult", "InferResult", "OpResult", "Tuning", "attention", "collective", "estimate", "gemm", "infer",
    "infer_formats", "tune",
]
