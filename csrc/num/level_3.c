/* The hot loops for x86-64-v3. Included headers are read before the target changes, so that no libc inline is compiled for it. */
#include "level.h"

#ifdef EMU_X86_LEVELS
#include <immintrin.h>
#include <math.h>
#include <string.h>
#pragma GCC target("arch=x86-64-v3")
#define LEVEL(name) name##_3
#define EMU_ROWS 6
#define EMU_VECTOR 32
#define EMU_FMA 1
#include "level_body.h"
#endif
