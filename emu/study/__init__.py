"""Questions and answers: `estimate` a model on a chip, one operation (`gemm`, `attention`), or `infer` with real weights."""

# Not lazily: `estimate` and `infer` share names with the modules they live in; what is bound last is what `emu.study.estimate` means.
from emu.study.collective import collective
from emu.study.estimate import Estimate, estimate
from emu.study.infer import InferResult, infer
from emu.study.op import OpResult, attention, gemm

__all__ = ["Estimate", "InferResult", "OpResult", "attention", "collective", "estimate", "gemm", "infer"]
