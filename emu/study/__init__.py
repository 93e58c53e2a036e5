"""Questions and answers: `estimate` a model on a chip, one operation (`gemm`, `attention`), or `infer` with real weights."""

from typing import Any

__all__ = ["Estimate", "InferResult", "OpResult", "attention", "estimate", "gemm", "infer"]

_HOME = {
    "Estimate": "emu.study.estimate", "estimate": "emu.study.estimate", "OpResult": "emu.study.op", "gemm": "emu.study.op",
    "attention": "emu.study.op", "InferResult": "emu.study.infer", "infer": "emu.study.infer",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'emu.study' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
