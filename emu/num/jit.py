"""The machine's functions of fp32 numbers for code that Numba compiles: the meanings of users' instructions (emu.instruction).

    from emu.num import jit as num

The same bits as the vector engine's vexp, vexp2, vlog2, vtanh, verf, vsigmoid, vsin, vcos, vsqrt, vrsqrt and vrcp: fixed sequences of fp32
operations (csrc/num/level_math.h) over the same constants (isa/constants_num.py); a test holds them equal. `f32` makes a constant fp32: a
plain 0.5 is a double to Numba, and what it touches is rounded twice. Called from Python they compute the same with NumPy's numbers, one by
one. Importing this module imports Numba; `import emu` and `emu.num` do not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from isa import constants_num as k

f32 = np.float32
function = register_jitable(error_model="numpy", fastmath=False)
"""For functions of one's own that a meaning calls: plain Python, which Numba compiles where it is called from compiled code."""
_ROUND, _ZERO, _ONE, _TWO = f32(1.5 * 2**23), f32(0), f32(1), f32(2)
_INF = f32(np.inf)
_NAN = np.uint32(0x7FC00000).view(np.float32)
_SIGN, _REST = np.uint32(0x80000000), np.uint32(0x7FFFFFFF)
_LOG2E, _LN2_HI, _LN2_LO = f32(k.LOG2E), f32(k.LN2_HI), f32(k.LN2_LO)
_EXP2, _EXP, _LOG2, _TANH, _ERF, _ERFC = (tuple(map(f32, reversed(t))) for t in (k.EXP2, k.EXP, k.LOG2, k.TANH, k.ERF, k.ERFC))
_E_LOW, _E_HIGH, _2_LOW, _2_HIGH = f32(-110), f32(90), f32(-160), f32(130)
_TINY, _UP, _UP_BITS = f32(2.0**-126), f32(2.0**24), f32(24)
_FLAT, _EDGE, _MIDDLE = f32(0.625), f32(4), f32(2.5)
_SIN, _COS = (tuple(map(f32, reversed(t))) for t in (k.SIN, k.COS))
_HALF, _QUARTER, _PI_HI, _PI_LO = f32(0.5), f32(k.QUARTER_PI), f32(k.HALF_PI_HI), f32(k.HALF_PI_LO)
_STREAM = np.array(k.TWO_OVER_PI, np.uint64)
_32, _62, _2_61, _3 = np.uint64(32), np.uint64(62), np.uint64(1 << 61), np.uint64(3)


@function
def _bits(x: Any) -> Any:
    return f32(x).view(np.uint32)


@function
def _float(bits: Any) -> Any:
    return np.uint32(bits).view(np.float32)


@function
def _poly(x: Any, powers: Any) -> Any:
    """Horner's rule, from the highest power."""
    p = powers[0]
    for coefficient in powers[1:]:
        p = p * x + coefficient
    return p


@function
def _scale(p: Any, n: Any) -> Any:
    """p * 2^n in two exact steps, so that only the last rounds or overflows."""
    half = n >> np.int32(1)
    rest = n - half
    return p * _float((half + 127) << 23) * _float((rest + 127) << 23)


@function
def _clamped(x: Any, low: Any, high: Any) -> Any:
    c = low if x < low else x
    c = high if c > high else c
    return c if c == c else _ZERO


@function
def exp2(x: Any) -> Any:
    """2^x."""
    c = _clamped(x, _2_LOW, _2_HIGH)
    n = (c + _ROUND) - _ROUND
    f = c - n
    p = _poly(f, _EXP2) * f + _ONE
    return _scale(p, np.int32(n)) if x == x else x


@function
def exp(x: Any) -> Any:
    """e^x."""
    c = _clamped(x, _E_LOW, _E_HIGH)
    n = (c * _LOG2E + _ROUND) - _ROUND
    r = (c - n * _LN2_HI) - n * _LN2_LO
    p = (r * r * _poly(r, _EXP) + r) + _ONE
    return _scale(p, np.int32(n)) if x == x else x


@function
def log2(x: Any) -> Any:
    """The binary logarithm."""
    small = x < _TINY
    y = x * _UP if small else x
    bits = np.int32(np.int64(_bits(y)) - 0x3F3504F3)
    e = f32(bits >> 23) - (_UP_BITS if small else _ZERO)
    f = _float((bits & 0x7FFFFF) + 0x3F3504F3) - _ONE
    result = f * _poly(f, _LOG2) + e
    result = x if x == _INF else result
    result = -_INF if x == _ZERO else result
    return result if x >= _ZERO else _NAN


@function
def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    sign = _bits(x) & _SIGN
    t = _float(_bits(x) & _REST)
    z = t * t
    small = t * z * _poly(z, _TANH) + t
    large = _ONE - _TWO / (exp(t + t) + _ONE)
    return _float(_bits(small if t < _FLAT else large) | sign)


@function
def erf(x: Any) -> Any:
    """The error function."""
    sign = _bits(x) & _SIGN
    t = _float(_bits(x) & _REST)
    z = t * t
    small = t * _poly(z, _ERF) + t
    u = (_EDGE if t > _EDGE else t) - _MIDDLE
    large = _ONE - exp(_poly(u, _ERFC))
    return _float(_bits(small if t < _ONE else large) | sign) if x == x else x


@function
def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x)."""
    e = exp(_float(_bits(x) | _SIGN))
    return (_ONE if x >= _ZERO else e) / (_ONE + e)


@function
def _reduced(t: Any) -> Any:
    """|x| mod pi/2 and its quadrant, by integers: of the bits of 2/pi only the 96 that matter modulo 4 take part."""
    bits = _bits(t) if t >= _HALF and t < _INF else _bits(_HALF)
    start = np.int64(bits >> np.uint32(23)) - np.int64(120)
    word, shift = start >> np.int64(5), np.uint64(start & np.int64(31))
    m = np.uint64((bits & np.uint32(0x7FFFFF)) | np.uint32(0x800000))
    v0, v1, v2, v3 = _STREAM[word], _STREAM[word + 1], _STREAM[word + 2], _STREAM[word + 3]
    p0, p1, p2 = ((v0 << _32 | v1) << shift) >> _32, ((v1 << _32 | v2) << shift) >> _32, ((v2 << _32 | v3) << shift) >> _32
    u = ((m * p0) << _32) + m * p1 + ((m * p2) >> _32)
    q = (u + _2_61) >> _62
    fraction = f32(np.int64(u - (q << _62)))
    r = fraction * _PI_HI + fraction * _PI_LO
    large = t >= _QUARTER
    return (r if large else t), np.uint32(q & _3) if large else np.uint32(0)


@function
def _wave(r: Any, quadrant: Any) -> Any:
    """sin (even quadrants) or cos of r, negated in quadrants 2 and 3."""
    z = r * r
    s = r * z * _poly(z, _SIN) + r
    c = (z * z * _poly(z, _COS) - _HALF * z) + _ONE
    odd = quadrant & np.uint32(1)
    return _float(_bits(c if odd else s) ^ (quadrant & np.uint32(2)) << np.uint32(30))


@function
def sin(x: Any) -> Any:
    """The sine, of any fp32 number."""
    t = _float(_bits(x) & _REST)
    r, quadrant = _reduced(t)
    return _float(_bits(_wave(r, quadrant)) ^ (_bits(x) & _SIGN)) if t < _INF else _NAN


@function
def cos(x: Any) -> Any:
    """The cosine, of any fp32 number."""
    t = _float(_bits(x) & _REST)
    r, quadrant = _reduced(t)
    return _wave(r, (quadrant + np.uint32(1)) & np.uint32(3)) if t < _INF else _NAN


@function
def sqrt(x: Any) -> Any:
    """The square root, correctly rounded."""
    return f32(np.sqrt(f32(x)))


@function
def rsqrt(x: Any) -> Any:
    """1 / sqrt(x), both rounded."""
    return _ONE / f32(np.sqrt(f32(x)))


@function
def rcp(x: Any) -> Any:
    """1 / x."""
    return _ONE / f32(x)


__all__ = ["cos", "erf", "exp", "exp2", "f32", "function", "log2", "rcp", "rsqrt", "sigmoid", "sin", "sqrt", "tanh"]
