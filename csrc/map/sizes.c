/* Tile sizes worth trying along one axis. */
#include "map.h"

/* Whether `size` is the first that makes so few tiles, of all sizes or of those of some power of two of quanta: the rows of a tile are
   worked on in equal parts, and even numbers have them. */
static int worth(int64_t size, int64_t quantum, int64_t count, int parities, int64_t *fewest) {
  int yes = 0;
  for (int64_t j = 0; j < parities && size % (quantum << j) == 0; j++)
    if (!fewest[j] || count < fewest[j]) fewest[j] = count, yes = 1;
  return yes;
}

int64_t emu_map_sizes(int64_t total, int64_t quantum, int parities, int64_t most, int64_t *sizes, int64_t room) {
  int64_t found = 0, fewest[MAP_PARITIES] = {0};
  most = least(most, total);
  for (int64_t j = 1; found < room; j++) {
    const int64_t size = least(j * quantum, most);
    if (worth(size, quantum, ceil_div(total, size), parities, fewest) || size == most) sizes[found++] = size;
    if (size == most) break;
  }
  return found;
}
