"""How the polynomials of isa/constants_num.py were made: Chebyshev fits with mpmath, rounded to fp32.

    python isa/fit_num.py > isa/constants_num.py
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import mpmath as mp

mp.mp.prec = 400


def fp32(value: mp.mpf) -> float:
    """Round to fp32 (through double; no constant here is near a tie)."""
    return float(struct.unpack("<f", struct.pack("<f", float(value)))[0])


def poly(name: str, function: Callable[[mp.mpf], mp.mpf], low: float, high: float, terms: int) -> str:
    """Coefficients of a near-minimax polynomial, lowest power first."""
    coefficients = mp.chebyfit(function, [mp.mpf(low), mp.mpf(high)], terms)[::-1]
    return f"{name} = (\n" + "".join(f'    float.fromhex("{fp32(c).hex()}"),\n' for c in coefficients) + ")"


def value(name: str, number: mp.mpf) -> str:
    """One fp32 constant."""
    return f'{name} = float.fromhex("{fp32(number).hex()}")'


def series(function: Callable[[mp.mpf], mp.mpf], at_zero: mp.mpf) -> Callable[[mp.mpf], mp.mpf]:
    """A quotient that is 0/0 at zero, with its limit there."""
    return lambda x: at_zero if abs(x) < mp.mpf(2) ** -40 else function(x)


def main() -> None:
    ln2 = mp.log(2)
    ln2_hi = mp.mpf(round(ln2 * 2**14)) / 2**14
    half_pi = mp.pi / 2 * mp.mpf(2) ** -62
    words = int(mp.floor(2 / mp.pi * mp.mpf(2) ** 224))
    parts = [
        '"""Constants of the transcendental functions. Written by isa/fit_num.py; read by the oracle and by isa/codegen_num.py."""',
        "",
        value("LOG2E", 1 / ln2),
        value("LN2_HI", ln2_hi),
        value("LN2_LO", ln2 - ln2_hi),
        value("QUARTER_PI", mp.pi / 4),
        value("HALF_PI_HI", half_pi),
        value("HALF_PI_LO", half_pi - fp32(half_pi)),
        "# 2/pi: one zero word for the integer part, then the fraction.",
        "TWO_OVER_PI = (" + ", ".join(f"0x{w:08x}" for w in [0] + [words >> (192 - 32 * i) & 0xFFFFFFFF for i in range(7)]) + ")",
        "# 2^f = 1 + f EXP2(f), |f| <= 1/2",
        poly("EXP2", series(lambda x: (mp.mpf(2) ** x - 1) / x, ln2), -0.5, 0.5, 6),
        "# e^r = 1 + r + r^2 EXP(r), |r| <= ln2 / 2",
        poly("EXP", series(lambda x: (mp.exp(x) - 1 - x) / x**2, mp.mpf(0.5)), -0.35, 0.35, 5),
        "# log2(1 + f) = f LOG2(f), sqrt(1/2) <= 1 + f < sqrt(2)",
        poly("LOG2", series(lambda x: mp.log(1 + x, 2) / x, 1 / ln2), -0.2929, 0.4143, 10),
        "# tanh x = x + x z TANH(z), z = x^2, |x| < 0.625",
        poly("TANH", series(lambda z: (mp.tanh(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, -mp.mpf(1) / 3), 0, 0.391, 5),
        "# erf x = x + x ERF(z), z = x^2, |x| < 1",
        poly("ERF", series(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1, 2 / mp.sqrt(mp.pi) - 1), 0, 1, 7),
        "# ln erfc x = ERFC(x - 2.5), 1 <= x <= 4",
        poly("ERFC", lambda u: mp.log(mp.erfc(u + mp.mpf(2.5))), -1.5, 1.5, 10),
        "# sin r = r + r z SIN(z), cos r = 1 - z / 2 + z^2 COS(z), z = r^2, |r| <= pi / 4",
        poly("SIN", series(lambda z: (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, -mp.mpf(1) / 6), 0, 0.617, 3),
        poly("COS", series(lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, mp.mpf(1) / 24), 0, 0.617, 3),
    ]
    print("\n".join(parts))


if __name__ == "__main__":
    main()
