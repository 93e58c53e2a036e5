"""Constants of the transcendental functions. Written by isa/fit_num.py; read by the oracle and by isa/codegen_num.py."""

LOG2E = float.fromhex("0x1.7154760000000p+0")
LN2_HI = float.fromhex("0x1.62e8000000000p-1")
LN2_LO = float.fromhex("-0x1.e8082e0000000p-16")
QUARTER_PI = float.fromhex("0x1.921fb60000000p-1")
HALF_PI_HI = float.fromhex("0x1.921fb60000000p-62")
HALF_PI_LO = float.fromhex("-0x1.777a5c0000000p-87")
# 2/pi: one zero word for the integer part, then the fraction.
TWO_OVER_PI = (0x00000000, 0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab)
# 2^f = 1 + f EXP2(f), |f| <= 1/2
EXP2 = (
    float.fromhex("0x1.62e4300000000p-1"),
    float.fromhex("0x1.ebfbe00000000p-3"),
    float.fromhex("0x1.c6af6c0000000p-5"),
    float.fromhex("0x1.3b2a540000000p-7"),
    float.fromhex("0x1.5f08900000000p-10"),
    float.fromhex("0x1.44138a0000000p-13"),
)
# e^r = 1 + r + r^2 EXP(r), |r| <= ln2 / 2
EXP = (
    float.fromhex("0x1.0000000000000p-1"),
    float.fromhex("0x1.5554d80000000p-3"),
    float.fromhex("0x1.5555160000000p-5"),
    float.fromhex("0x1.12105c0000000p-7"),
    float.fromhex("0x1.6d15f80000000p-10"),
)
# log2(1 + f) = f LOG2(f), sqrt(1/2) <= 1 + f < sqrt(2)
LOG2 = (
    float.fromhex("0x1.7154760000000p+0"),
    float.fromhex("-0x1.7154700000000p-1"),
    float.fromhex("0x1.ec70aa0000000p-2"),
    float.fromhex("-0x1.715a700000000p-2"),
    float.fromhex("0x1.277a4a0000000p-2"),
    float.fromhex("-0x1.eab7640000000p-3"),
    float.fromhex("0x1.a38d860000000p-3"),
    float.fromhex("-0x1.87fa340000000p-3"),
    float.fromhex("0x1.7a5dc20000000p-3"),
    float.fromhex("-0x1.b82e940000000p-4"),
)
# tanh x = x + x z TANH(z), z = x^2, |x| < 0.625
TANH = (
    float.fromhex("-0x1.5555520000000p-2"),
    float.fromhex("0x1.110e1a0000000p-3"),
    float.fromhex("-0x1.b924ea0000000p-5"),
    float.fromhex("0x1.57fe940000000p-6"),
    float.fromhex("-0x1.8f6b1e0000000p-8"),
)
# erf x = x + x ERF(z), z = x^2, |x| < 1
ERF = (
    float.fromhex("0x1.06eba80000000p-3"),
    float.fromhex("-0x1.81273e0000000p-2"),
    float.fromhex("0x1.ce2d100000000p-4"),
    float.fromhex("-0x1.b7faba0000000p-6"),
    float.fromhex("0x1.5412700000000p-8"),
    float.fromhex("-0x1.a450880000000p-11"),
    float.fromhex("0x1.4a56900000000p-14"),
)
# ln erfc x = ERFC(x - 2.5), 1 <= x <= 4
ERFC = (
    float.fromhex("-0x1.f3a2dc0000000p+2"),
    float.fromhex("-0x1.5692520000000p+2"),
    float.fromhex("-0x1.e346080000000p-1"),
    float.fromhex("-0x1.63cc740000000p-7"),
    float.fromhex("0x1.1bcb0c0000000p-9"),
    float.fromhex("-0x1.b93b660000000p-12"),
    float.fromhex("0x1.44964e0000000p-14"),
    float.fromhex("-0x1.b1b6e20000000p-17"),
    float.fromhex("0x1.b1ade40000000p-20"),
    float.fromhex("-0x1.45ac780000000p-24"),
)
# sin r = r + r z SIN(z), cos r = 1 - z / 2 + z^2 COS(z), z = r^2, |r| <= pi / 4
SIN = (
    float.fromhex("-0x1.5555520000000p-3"),
    float.fromhex("0x1.110c280000000p-7"),
    float.fromhex("-0x1.9ac95c0000000p-13"),
)
COS = (
    float.fromhex("0x1.5555540000000p-5"),
    float.fromhex("-0x1.6c12d20000000p-10"),
    float.fromhex("0x1.9bd8580000000p-16"),
)
