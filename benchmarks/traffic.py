"""Elements that the mapper's search moves for a gemm on an abstract machine of one fast memory, against the floor.

    python benchmarks/traffic.py [M N K BYTES]

2-byte elements, partial sums too. An exhaustive search finds 83.9 M elements at 4096^3 with 16 MiB."""

import sys
import time

from emu.mapper.traffic import least_traffic, traffic

POINTS = [(4096, 4096, 4096, 16 << 20), (4096, 4096, 4096, 1 << 20), (1024, 1024, 1024, 1 << 20), (16, 4096, 14336, 1 << 20)]


def main(points: list[tuple[int, ...]]) -> None:
    print(f"{'m x n x k':>20} {'memory':>10} {'moved':>10} {'floor':>10} {'ratio':>6} {'CPU':>8}  blocking")
    for m, n, k, size in points:
        start = time.process_time()
        found = traffic(m, n, k, size // 2)
        took, floor = time.process_time() - start, least_traffic(m, n, k, size // 2)
        shape, tile = f"{m} x {n} x {k}", f"{found.tile_m} x {found.tile_n} x {found.tile_k}"
        print(
            f"{shape:>20} {size / 2**20:6.2f} MiB {found.elements / 1e6:8.1f} M {floor / 1e6:8.1f} M {found.elements / floor:6.2f} "
            f"{took * 1e3:5.1f} ms  tiles {tile}, loops {found.order}"
        )


if __name__ == "__main__":
    main([tuple(int(a) for a in sys.argv[1:5])] if len(sys.argv) > 4 else POINTS)
