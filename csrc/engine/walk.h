/* The bytes of a transfer in device memory as pieces in the order in which a DMA asks for them: each contiguous run from the access it
   begins in to the one it ends in, cut at chunks. */
#ifndef EMU_WALK_H
#define EMU_WALK_H
#include "machine.h"

typedef struct { int64_t address, bytes; } emu_piece;
typedef struct { int64_t lo, hi; } emu_range;
typedef struct { emu_range *v; int64_t n, room; } emu_sectors;

/* `n` of them, at index[r] * pitch, or one after the other where index is NULL; step: bytes from index to index. */
typedef struct { int64_t n, pitch, step; const uint8_t *index; } emu_rows;

typedef struct {
  int64_t base, run, n[4], s[4], at[4];
  emu_rows rows;
  int64_t row;
  int64_t lo, hi, access, chunk; /* what is left of the run */
  int32_t dims, write, fresh, listed; /* fresh: the row's first run is still to come; listed: the runs are `sectors` */
  emu_sectors sectors;
  int64_t next_sector;
} emu_walk;

void emu_walk_begin(emu_walk *w, const emu_operand *o, const emu_rows *rows, int write, int64_t access, int64_t chunk);
int emu_walk_next(emu_walk *w, emu_piece *p); /* 0 when there is none left */
int emu_sectors_add(emu_sectors *l, int64_t block, uint32_t sectors, int64_t sector_bytes); /* -1 without memory */
void emu_walk_sectors(emu_walk *w, emu_sectors *l, int write, int64_t access, int64_t chunk); /* these, from and to memory; the list comes back empty */
#endif
