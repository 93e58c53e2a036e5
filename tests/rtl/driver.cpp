// Clocks the array through one list of tiles: numbers in on stdin (rtl_support.py), the array's own $display lines out.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>
#include "Vsystolic.h"
#include "verilated.h"

static long number() {
  long value;
  if (std::scanf("%ld", &value) != 1) std::exit(3);
  return value;
}

static void tick(Vsystolic &v) {
  v.clk = 0, v.eval();
  v.clk = 1, v.eval();
}

static void put(Vsystolic &v, int which, int at, std::vector<long> fields) { // the first field is the uppermost
  v.write = 1, v.which = which, v.at = at;
  for (int j = 0; j < 4; j++) v.data[j] = 0;
  int bit = 0;
  for (auto f = fields.rbegin(); f != fields.rend(); ++f, bit += 16) v.data[bit / 32] |= (unsigned)(*f & 0xffff) << (bit % 32);
  tick(v);
  v.write = 0;
}

int main() {
  auto owned = std::make_unique<Vsystolic>();
  Vsystolic &v = *owned;
  v.output_stationary = number(), v.shadow = number(), v.load_rows = number(), v.rows = number();
  v.hop = number(), v.psum_hop = number(), v.mutant = number(), v.tiles = number();
  const long tiles = v.tiles, bytes_a = number(), bytes_b = number();
  for (long j = 0; j < tiles; j++) {
    std::vector<long> fields; // flags, gap, m, n, k, a, b, accumulator
    for (int f = 0; f < 8; f++) fields.push_back(number());
    put(v, 2, (int)j, fields);
  }
  for (long j = 0; j < bytes_a; j++) put(v, 0, (int)j, {number()});
  for (long j = 0; j < bytes_b; j++) put(v, 1, (int)j, {number()});
  put(v, 3, 0, {0});
  long after = 0, clocks = 0;
  for (; after < 256 && clocks < 1000000; clocks++) { // the last results leave at most 16 * 3 + 15 * 2 + 2 clocks after the last row
    after = v.idle ? after + 1 : 0;
    tick(v);
  }
  std::printf("end %ld\n", clocks);
  return clocks < 1000000 ? 0 : 4;
}
