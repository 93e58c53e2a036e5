/* One code level: included by level_0.c, level_3.c and level_4.c with LEVEL(), EMU_ROWS and EMU_VECTOR (bytes) defined. */
/* Nobody looks at exception flags; without this gcc does not turn the selections below into vector code. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-trapping-math")
#endif

#include <math.h>
#include <string.h>

#include "constants_gen.h"
#include "fp8_gen.h"
#include "level.h"

#define EMU_LANES_OF_VECTOR (EMU_VECTOR / 4)
#define EMU_COLUMNS (2 * EMU_LANES_OF_VECTOR)

typedef uint16_t __attribute__((aligned(1), may_alias)) LEVEL(u16);
typedef uint32_t __attribute__((aligned(1), may_alias)) LEVEL(u32);

static inline __attribute__((always_inline)) float LEVEL(as_float)(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static inline __attribute__((always_inline)) uint32_t LEVEL(as_bits)(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

#include "level_convert.h"
#include "level_packed.h"
#include "level_dither.h"
#include "level_math.h"
#include "level_mm.h"
#include "level_narrow.h"
#include "level_vec.h"

const struct emu_level LEVEL(emu_level) = {
    .rows = EMU_ROWS,
    .columns = EMU_COLUMNS,
    .load = {
        [EMU_NUM_FP32] = LEVEL(load_fp32), [EMU_NUM_BF16] = LEVEL(load_bf16), [EMU_NUM_FP16] = LEVEL(load_fp16),
        [EMU_NUM_FP8_E4M3] = LEVEL(load_e4m3), [EMU_NUM_FP8_E5M2] = LEVEL(load_e5m2), [EMU_NUM_INT8] = LEVEL(load_int8),
        [EMU_NUM_INT32] = LEVEL(load_int32), [EMU_NUM_TF32] = LEVEL(load_tf32), [EMU_NUM_E8M0] = LEVEL(load_e8m0),
        [EMU_NUM_FP6_E2M3] = LEVEL(load_e2m3), [EMU_NUM_FP6_E3M2] = LEVEL(load_e3m2), [EMU_NUM_FP4_E2M1] = LEVEL(load_e2m1),
        [EMU_NUM_INT4] = LEVEL(load_int4),
    },
    .panel = {
        [EMU_NUM_FP32] = LEVEL(panel_fp32), [EMU_NUM_BF16] = LEVEL(panel_bf16), [EMU_NUM_FP16] = LEVEL(panel_fp16),
        [EMU_NUM_FP8_E4M3] = LEVEL(panel_e4m3), [EMU_NUM_FP8_E5M2] = LEVEL(panel_e5m2), [EMU_NUM_INT8] = LEVEL(panel_int8),
        [EMU_NUM_TF32] = LEVEL(panel_tf32), [EMU_NUM_FP6_E2M3] = LEVEL(panel_e2m3), [EMU_NUM_FP6_E3M2] = LEVEL(panel_e3m2),
        [EMU_NUM_FP4_E2M1] = LEVEL(panel_e2m1), [EMU_NUM_INT4] = LEVEL(panel_int4),
    },
    .store = {
        [EMU_NUM_FP32] = LEVEL(store_fp32), [EMU_NUM_BF16] = LEVEL(store_bf16), [EMU_NUM_FP16] = LEVEL(store_fp16),
        [EMU_NUM_FP8_E4M3] = LEVEL(store_e4m3), [EMU_NUM_FP8_E5M2] = LEVEL(store_e5m2), [EMU_NUM_INT8] = LEVEL(store_int8),
        [EMU_NUM_INT32] = LEVEL(store_int32), [EMU_NUM_TF32] = LEVEL(store_tf32), [EMU_NUM_E8M0] = LEVEL(store_e8m0),
        [EMU_NUM_FP6_E2M3] = LEVEL(store_e2m3), [EMU_NUM_FP6_E3M2] = LEVEL(store_e3m2), [EMU_NUM_FP4_E2M1] = LEVEL(store_e2m1),
        [EMU_NUM_INT4] = LEVEL(store_int4),
    },
    .fused = LEVEL(chain_fused),
    .exact = LEVEL(chain_exact),
    .rounded = LEVEL(chain_rounded),
    .tree = LEVEL(tree),
    .narrow = LEVEL(narrow),
    .fit = LEVEL(fit_row),
    .dither = LEVEL(dither),
    .unary = {
        [EMU_NUM_VMOV] = LEVEL(row_mov), [EMU_NUM_VNEG] = LEVEL(row_neg), [EMU_NUM_VABS] = LEVEL(row_abs),
        [EMU_NUM_VEXP] = LEVEL(row_exp), [EMU_NUM_VEXP2] = LEVEL(row_exp2), [EMU_NUM_VLOG2] = LEVEL(row_log2),
        [EMU_NUM_VSQRT] = LEVEL(row_sqrt), [EMU_NUM_VRSQRT] = LEVEL(row_rsqrt), [EMU_NUM_VRCP] = LEVEL(row_rcp),
        [EMU_NUM_VTANH] = LEVEL(row_tanh), [EMU_NUM_VERF] = LEVEL(row_erf), [EMU_NUM_VSIGMOID] = LEVEL(row_sigmoid),
        [EMU_NUM_VSIN] = LEVEL(row_sin), [EMU_NUM_VCOS] = LEVEL(row_cos),
    },
    .binary = {
        [EMU_NUM_VADD] = LEVEL(row_add), [EMU_NUM_VSUB] = LEVEL(row_sub), [EMU_NUM_VMUL] = LEVEL(row_mul),
        [EMU_NUM_VDIV] = LEVEL(row_div), [EMU_NUM_VMAX] = LEVEL(row_max), [EMU_NUM_VMIN] = LEVEL(row_min),
        [EMU_NUM_VGE] = LEVEL(row_ge),
    },
    .mac = LEVEL(row_mac),
    .lanes = LEVEL(lanes),
};
