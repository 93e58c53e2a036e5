"""How the steps deal work out: core c takes the units c, c + cores, c + 2 cores, ..."""


def deal(k, units):
    """The units of each core, in a hardware loop whose count differs between cores."""
    first = k.per_core(list(range(k.cores)))
    for i in k.loop(k.per_core([max(0, -(-(units - c) // k.cores)) for c in range(k.cores)])):
        yield i * k.cores + first
