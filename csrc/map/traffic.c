/* The least traffic of a gemm on a machine that is nothing but a fast memory: which operand stays is a matter of the order of the loops. */
#include "map.h"

static const int8_t ORDERS[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

/* How often an operand that dimension `other` does not index comes in: once for each step of `other` outside a loop that changes it. */
static int64_t comings(const int8_t *order, const int64_t *trips, int other) {
  int64_t times = 1, pending = 1;
  for (int j = 0; j < 3; j++)
    if (order[j] == other) pending = trips[other];
    else if (trips[order[j]] > 1) times = pending;
  return times;
}

static int64_t moved(const int64_t *n, const int8_t *order, const int64_t *trips) {
  const int64_t a = n[0] * n[2] * comings(order, trips, 1), b = n[2] * n[1] * comings(order, trips, 0);
  return a + b + n[0] * n[1] * (2 * comings(order, trips, 2) - 1); /* a sum goes out each time it comes, and comes back but the first time */
}

int64_t emu_map_traffic(const int64_t *n, int64_t storage, emu_map_blocking *best) {
  int64_t heights[MAP_SIZES], widths[MAP_SIZES], least_moved = 0;
  const int64_t high = emu_map_sizes(n[0], 1, 1, storage, heights, MAP_SIZES), wide = emu_map_sizes(n[1], 1, 1, storage, widths, MAP_SIZES);
  for (int64_t i = 0; i < high; i++)
    for (int64_t j = 0; j < wide; j++) {
      const int64_t m = heights[i], w = widths[j], left = storage - m * w, deep = least(n[2], left > 0 ? left / (m + w) : 0);
      if (deep < 1) break;
      const int64_t trips[3] = {ceil_div(n[0], m), ceil_div(n[1], w), ceil_div(n[2], deep)};
      for (int o = 0; o < 6; o++) {
        const int64_t elements = moved(n, ORDERS[o], trips);
        if (least_moved && elements >= least_moved) continue;
        least_moved = elements;
        *best = (emu_map_blocking){{m, w, ceil_div(n[2], trips[2])}, {ORDERS[o][0], ORDERS[o][1], ORDERS[o][2]}};
      }
    }
  return least_moved;
}
