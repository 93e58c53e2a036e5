from collections.abc import Mapping, Sequence

Numbers = Mapping[str, float]

def rank(
    chip: Numbers, shape: Numbers, menu: Sequence[tuple[int, int]] = (), cores: int = 0, beside: int = 1, parts: int = 1,
    among: bool = False, everything: bool = False, limit: int = 256,
) -> list[tuple[float, dict[str, float], dict[str, int]]]: ...
def traffic(m: int, n: int, k: int, storage: int) -> tuple[int, tuple[int, int, int], tuple[int, int, int]]: ...
