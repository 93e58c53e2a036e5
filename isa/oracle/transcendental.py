"""exp, exp2, log2, tanh, erf, sigmoid, sin and cos: fixed sequences of fp32 operations, the same as csrc/num/level_math.h.

Every line is one or more fp32 operations that round to nearest even; nothing may be reordered. Arguments and results are float32 arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isa import constants_num as k

F = NDArray[np.float32]
U = NDArray[Any]
_ROUND = np.float32(1.5 * 2**23)
_SIGN = np.uint32(0x80000000)
_INF, _NAN = np.float32(np.inf), np.uint32(0x7FC00000).view(np.float32)


def _c(value: float) -> np.float32:
    return np.float32(value)


def _bits(x: F) -> U:
    return x.view(np.uint32)


def _poly(x: F, coefficients: tuple[float, ...]) -> F:
    """Horner's rule from the highest power."""
    p = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        p = p * x + _c(coefficient)
    return p


def _scale(p: F, n: U) -> F:
    """p * 2^n in two exact steps, so that only the last rounds or overflows."""
    half = n >> 1
    rest = n - half
    return p * ((half + 127) << 23).astype(np.uint32).view(np.float32) * ((rest + 127) << 23).astype(np.uint32).view(np.float32)


def _clamp(x: F, low: float, high: float) -> F:
    c = np.where(x < _c(low), _c(low), x)
    c = np.where(c > _c(high), _c(high), c)
    return np.where(np.isnan(c), _c(0), c)


def exp2(x: F) -> F:
    c = _clamp(x, -160.0, 130.0)
    n = (c + _ROUND) - _ROUND
    f = c - n
    p = _poly(f, k.EXP2) * f + _c(1)
    return np.where(np.isnan(x), x, _scale(p, n.astype(np.int32)))


def exp(x: F) -> F:
    c = _clamp(x, -110.0, 90.0)
    n = (c * _c(k.LOG2E) + _ROUND) - _ROUND
    r = (c - n * _c(k.LN2_HI)) - n * _c(k.LN2_LO)
    p = (r * r * _poly(r, k.EXP) + r) + _c(1)
    return np.where(np.isnan(x), x, _scale(p, n.astype(np.int32)))


def log2(x: F) -> F:
    small = x < _c(2.0**-126)
    y = np.where(small, x * _c(2**24), x)
    bits = _bits(y).astype(np.int64) - 0x3F3504F3
    bits = bits.astype(np.uint32).view(np.int32)
    e = (bits >> 23).astype(np.float32) - np.where(small, _c(24), _c(0))
    f = ((bits & 0x7FFFFF) + 0x3F3504F3).astype(np.uint32).view(np.float32) - _c(1)
    result = f * _poly(f, k.LOG2) + e
    result = np.where(x == _INF, x, result)
    result = np.where(x == 0, -_INF, result)
    return np.where(x >= 0, result, _NAN)


def tanh(x: F) -> F:
    t = np.abs(x)
    z = t * t
    small = t * z * _poly(z, k.TANH) + t
    large = _c(1) - _c(2) / (exp(t + t) + _c(1))
    return np.copysign(np.where(t < _c(0.625), small, large), x)


def erf(x: F) -> F:
    t = np.abs(x)
    z = t * t
    small = t * _poly(z, k.ERF) + t
    u = np.where(t > 4, _c(4), t) - _c(2.5)
    large = _c(1) - exp(_poly(u, k.ERFC))
    return np.where(np.isnan(x), x, np.copysign(np.where(t < 1, small, large), x))


def sigmoid(x: F) -> F:
    e = exp(-np.abs(x))
    return np.where(x >= 0, _c(1), e) / (_c(1) + e)


def _reduce(t: F) -> tuple[F, U]:
    """|x| mod pi/2 with its quadrant, by integers: of the bits of 2/pi only the 96 that matter modulo 4 take part."""
    bits = _bits(np.where((t >= _c(0.5)) & (t < _INF), t, _c(0.5)))
    start = (bits >> 23).astype(np.int64) - 120
    word, shift = start >> 5, (start & 31).astype(np.uint64)
    m = ((bits & 0x7FFFFF) | 0x800000).astype(np.uint64)
    stream = np.array(k.TWO_OVER_PI, np.uint64)
    v0, v1, v2, v3 = (stream[word + i] for i in range(4))
    by32 = np.uint64(32)
    p0, p1, p2 = (((high << by32 | low) << shift) >> by32 for high, low in ((v0, v1), (v1, v2), (v2, v3)))
    u = (m * p0 << by32) + m * p1 + (m * p2 >> by32)
    q = (u + np.uint64(1 << 61)) >> np.uint64(62)
    fraction = (u - (q << np.uint64(62))).view(np.int64).astype(np.float32)
    r = fraction * _c(k.HALF_PI_HI) + fraction * _c(k.HALF_PI_LO)
    large = t >= _c(k.QUARTER_PI)
    return np.where(large, r, t), np.where(large, q & np.uint64(3), np.uint64(0)).astype(np.uint32)


def _wave(r: F, quadrant: U) -> F:
    """sin (even quadrants) or cos of r, negated in quadrants 2 and 3."""
    z = r * r
    s = r * z * _poly(z, k.SIN) + r
    c = (z * z * _poly(z, k.COS) - _c(0.5) * z) + _c(1)
    result = np.where(quadrant & 1, c, s)
    return (_bits(result) ^ (quadrant & 2) << 30).view(np.float32)


def sin(x: F) -> F:
    t = np.abs(x)
    r, quadrant = _reduce(t)
    result = (_bits(_wave(r, quadrant)) ^ (_bits(x) & _SIGN)).view(np.float32)
    return np.where(t < _INF, result, _NAN)


def cos(x: F) -> F:
    t = np.abs(x)
    r, quadrant = _reduce(t)
    return np.where(t < _INF, _wave(r, (quadrant + 1) & 3), _NAN)
