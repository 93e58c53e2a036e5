/* The hot loops for x86-64-v4. Included headers are read before the target changes, so that no libc inline is compiled for it. */
#include "level.h"

#ifdef EMU_X86_LEVELS
#include <immintrin.h>
#include <math.h>
#include <string.h>
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define LEVEL(name) name##_4
#define EMU_ROWS 12
#define EMU_VECTOR 64
#define EMU_FMA 1
#include "level_body.h"
#endif
