"""Compiled parts. EMU_BUILD=debug|sanitize|coverage selects another build; everything else is in pyproject.toml."""

import os
import sys
from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

if sys.platform == "win32":
    raise SystemExit("emu does not build on Windows; use Linux or WSL")

FLAGS = {
    "": ["-O3"],
    "debug": ["-O0", "-g"],
    "sanitize": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined"],
    "coverage": ["-O0", "-g", "--coverage"],
}
build = os.environ.get("EMU_BUILD", "")
if build not in FLAGS:
    raise SystemExit(f"EMU_BUILD={build!r}: expected one of {', '.join(k or repr(k) for k in FLAGS)}")
# Bits must not depend on the compiler's mood: no contraction, no fast-math (docs/machine.md).
flags = ["-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-Wall", "-Wno-unused-function", *FLAGS[build]]
link = [f for f in FLAGS[build] if f.startswith(("-fsan", "--cov"))]


def extension(name: str, *sources: str) -> Extension:
    return Extension(
        name, list(sources), include_dirs=["csrc", numpy.get_include()], extra_compile_args=flags, extra_link_args=[*link, "-lm"],
        depends=glob("csrc/**/*.h", recursive=True), define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
    )


num = sorted(glob("csrc/num/*.c"))
engine = sorted(glob("csrc/engine/*.c"))
mapper = sorted(glob("csrc/map/*.c"))
noc, dram = sorted(glob("csrc/noc/*.c")), sorted(glob("csrc/dram/*.c"))
extensions = [
    extension("emu._num", "csrc/num.pyx", *num), extension("emu._core", "csrc/core.pyx", *engine, *num, *dram),
    extension("emu._map", "csrc/map.pyx", *mapper), extension("emu._noc", "csrc/noc.pyx", *noc),
    extension("emu._dram", "csrc/dram.pyx", *dram),
]
extensions = [e for e in extensions if os.path.exists(e.sources[0])]
setup(ext_modules=cythonize(extensions, language_level=3, build_dir="build/cython", nthreads=0))
