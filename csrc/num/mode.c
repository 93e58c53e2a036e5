/* The processor's rounding mode, and which code level runs. */
#include "num.h"

#include <stddef.h>

#include "level.h"

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>

/* 0x1f80: all exceptions masked, round to nearest even, neither flush-to-zero nor denormals-are-zero. */
uint64_t emu_num_enter(void)
{
    unsigned saved = _mm_getcsr();
    _mm_setcsr(0x1f80);
    return saved;
}

void emu_num_leave(uint64_t saved) { _mm_setcsr((unsigned)saved); }

#elif defined(__aarch64__)

uint64_t emu_num_enter(void)
{
    uint64_t saved, plain = 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" ::"r"(plain));
    return saved;
}

void emu_num_leave(uint64_t saved) { __asm__ volatile("msr fpcr, %0" ::"r"(saved)); }

#else
#include <fenv.h>

uint64_t emu_num_enter(void)
{
    int saved = fegetround();
    fesetround(FE_TONEAREST);
    return (uint64_t)saved;
}

void emu_num_leave(uint64_t saved) { fesetround((int)saved); }
#endif

static const struct emu_level *forced;

static const struct emu_level *level_of(int number)
{
#ifdef EMU_X86_LEVELS
    __builtin_cpu_init();
    if (number == 2)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd")
                   ? &emu_level_4 : NULL;
    if (number == 1)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") ? &emu_level_3 : NULL;
#endif
    return number == 0 ? &emu_level_0 : NULL;
}

static const struct emu_level *best(void)
{
    for (int number = 2; number > 0; number--) {
        const struct emu_level *level = level_of(number);
        if (level) return level;
    }
    return &emu_level_0;
}

const struct emu_level *emu_num_current(void)
{
    static const struct emu_level *chosen; /* a race here writes the same pointer twice */
    if (forced) return forced;
    if (!chosen) chosen = best();
    return chosen;
}

int emu_num_level(void)
{
    for (int number = 2; number > 0; number--)
        if (emu_num_current() == level_of(number)) return number;
    return 0;
}

int emu_num_force_level(int level)
{
    if (level < 0) forced = NULL;
    else if (level_of(level)) forced = level_of(level);
    return emu_num_level();
}
