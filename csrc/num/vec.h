/* Parts of vec.c that live in vec_rows.c and vec_overlap.c. Views have been checked and are not empty. */
#ifndef EMU_NUM_VEC_H
#define EMU_NUM_VEC_H

#include "num.h"

/* Could writing d change an element of s before it is read? cellwise: each cell of d depends on its own cell of s only. */
int emu_vec_conflict(const emu_view *d, const emu_view *s, int cellwise);
/* Are d's cells in rising order, none of them twice? */
int emu_vec_rising(const emu_view *d);
/* A dense copy of the elements of s; *scratch is for the caller to free. */
int emu_vec_copy(const emu_view *s, emu_view *copy, void **scratch);

/* The grid on which the numbers of a format lie: see level_dither.h. */
void emu_vec_grid(int fmt, int *mantissa, int *least);

void emu_vec_sum(const emu_view *d, const emu_view *s);
void emu_vec_max(const emu_view *d, const emu_view *s);
void emu_vec_mask(const emu_view *d, const emu_view *s, uint32_t scalar, int64_t diag, int64_t window);
void emu_vec_transpose(const emu_view *d, const emu_view *s);

#endif
