"""What the oracle may not do: import emu, or leave a sum or a function to somebody else's order of operations."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import isa
from isa import codegen_num, constants_num

ROOT = Path(isa.__file__).parent
FILES = sorted((ROOT / "oracle").glob("*.py"))
FORBIDDEN = {
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "tanh", "sinh", "cosh", "sin", "cos", "tan", "arctan", "power", "float_power",
    "sum", "nansum", "cumsum", "mean", "dot", "vdot", "inner", "outer", "matmul", "einsum", "tensordot", "add.reduce", "convolve", "linalg",
    "fma", "reduce", "trapezoid", "average", "prod",
}
# A count of bytes in Python integers, exact in any order.
ALLOWED = {("engines.py", "prod")}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_oracle_writes_every_operation_out(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.MatMult, ast.Pow)):
            assert constant(node), f"{path.name}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("np", "math"):
            assert node.attr not in FORBIDDEN or (path.name, node.attr) in ALLOWED, f"{path.name}:{node.lineno}: np.{node.attr}"


def constant(node: ast.BinOp) -> bool:
    """2.0**-126 is a number, not an operation of the oracle."""
    return all(isinstance(n, (ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop)) for n in ast.walk(node))


def test_oracle_does_not_import_emu():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "emu" for name in names), f"{path.name}:{node.lineno}"
    code = "import sys, isa.oracle; sys.exit(any(m.split('.')[0] == 'emu' for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent).returncode == 0


def test_isa_alone_does_not_import_numpy():
    code = "import sys, isa; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent).returncode == 0


@pytest.mark.skipif(not codegen_num.OUT.exists(), reason="the C sources are not here")
def test_generated_headers_are_fresh():
    assert codegen_num.main(check=True) == 0


def test_constants_follow_from_their_script():
    made = subprocess.run([sys.executable, str(ROOT / "fit_num.py")], capture_output=True, text=True, check=True).stdout
    assert made == Path(constants_num.__file__).read_text()
