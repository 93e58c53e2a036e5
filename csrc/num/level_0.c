/* The portable level: what the compiler's default target has. */
#define LEVEL(name) name##_0
#define EMU_ROWS 4
#define EMU_VECTOR 16
#if defined(__FP_FAST_FMAF)
#define EMU_FMA 1
#else
#define EMU_FMA 0
#endif
#include "level_body.h"
