; c = a @ b, 64x64x64 in bf16 with fp32 accumulators, for chip `tiny` (array 8x8, so k <= 8 and n <= 8 per mm).
; Each of 4 cores computes 16 rows of c in 4 panels of 16 columns. Panels of b, accumulators and results are double-buffered,
; so that the load of one panel, the matmul of the one before and the store of the one before that run at the same time.
.program gemm
.cores 4
.buffer a   hbm  0x0000 8192 in  bf16 64x64
.buffer b   hbm  0x2000 8192 in  bf16 64x64
.buffer c   hbm  0x4000 8192 out bf16 64x64
.buffer at  sram 0x0000 2048 temp       ; this core's 16 rows of a
.buffer bt  sram 0x0800 4096 temp       ; two panels of b, 64x16 each
.buffer ct  sram 0x1800 1024 temp       ; two tiles of c, 16x16 bf16 each
.buffer sum acc  0x0000 2048 temp       ; two tiles of accumulators, 16x16 fp32 each
.sem 1 a_full 0                         ; ld0 -> mm
.sem 2 b_full 0                         ; ld0 -> mm
.sem 3 b_free 2                         ; mm -> ld0
.sem 4 sum_full 0                       ; mm -> vec
.sem 5 sum_free 2                       ; vec -> mm
.sem 6 c_full 0                         ; vec -> st0
.sem 7 c_free 2                         ; st0 -> vec
.label 0 gemm
.param 0 0,2048,4096,6144               ; byte of this core's first row in a and c

.stream mm
        label 0
        dset d0.space, acc              ; d0: columns 0..7 of the accumulators; 8 repeats run along k
        dset d0.base, sum
        dset d0.n0, 8
        dset d0.n1, 16
        dset d0.s1, 64
        dset d0.n2, 8
        dset d0.ring_lo, sum
        dset d0.ring_size, 2048
        dset d0.ring_step, 1024
        dset d1.space, sram             ; d1: a, [16, 8] per repeat; a repeat moves 8 elements along k
        dset d1.base, at
        dset d1.fmt, bf16
        dset d1.n0, 8
        dset d1.n1, 16
        dset d1.s1, 128
        dset d1.s2, 16
        dset d2.space, sram             ; d2: b, [8, 8] per repeat; a repeat moves 8 rows of the panel
        dset d2.base, bt
        dset d2.fmt, bf16
        dset d2.n0, 8
        dset d2.n1, 8
        dset d2.s1, 32
        dset d2.s2, 256
        dset d2.ring_lo, bt
        dset d2.ring_size, 4096
        dset d2.ring_step, 2048
        dset d3.space, acc              ; d3, d4: the same for columns 8..15
        dset d3.base, sum+32
        dset d3.n0, 8
        dset d3.n1, 16
        dset d3.s1, 64
        dset d3.n2, 8
        dset d3.ring_lo, sum
        dset d3.ring_size, 2048
        dset d3.ring_step, 1024
        dset d4.space, sram
        dset d4.base, bt+16
        dset d4.fmt, bf16
        dset d4.n0, 8
        dset d4.n1, 8
        dset d4.s1, 32
        dset d4.s2, 256
        dset d4.ring_lo, bt
        dset d4.ring_size, 4096
        dset d4.ring_step, 2048
        wait a_full, 1
        loop 4, done
        wait sum_free, 1
        mm d0, d1, d2 wait=b_full
        mm d3, d1, d4 signal=sum_full
        signal b_free, 1
        dnext d0
        dnext d2
        dnext d3
        dnext d4
done:
        halt

.stream vec
        label 0
        dset d0.space, sram             ; d0: tile of c, rounded to bf16
        dset d0.base, ct
        dset d0.fmt, bf16
        dset d0.n0, 16
        dset d0.n1, 16
        dset d0.s1, 32
        dset d0.ring_lo, ct
        dset d0.ring_size, 1024
        dset d0.ring_step, 512
        dset d1.space, acc              ; d1: accumulators
        dset d1.base, sum
        dset d1.n0, 16
        dset d1.n1, 16
        dset d1.s1, 64
        dset d1.ring_lo, sum
        dset d1.ring_size, 2048
        dset d1.ring_step, 1024
        loop 4, done
        wait c_free, 1
        vmov d0, d1 wait=sum_full signal=c_full
        signal sum_free, 1
        dnext d0
        dnext d1
done:
        halt

.stream ld0
        label 0
        ldp r1, 0
        dset d0.space, sram             ; d0 <- d1: 16 rows of a
        dset d0.base, at
        dset d0.fmt, bf16
        dset d0.n0, 64
        dset d0.n1, 16
        dset d0.s1, 128
        dset d1.space, hbm
        dset d1.fmt, bf16
        dset d1.s1, 128
        dsetr d1.base, r1, a
        dma d0, d1 signal=a_full
        dset d2.space, sram             ; d2 <- d3: 16 columns of b
        dset d2.base, bt
        dset d2.fmt, bf16
        dset d2.n0, 16
        dset d2.n1, 64
        dset d2.s1, 32
        dset d2.ring_lo, bt
        dset d2.ring_size, 4096
        dset d2.ring_step, 2048
        dset d3.space, hbm
        dset d3.base, b
        dset d3.fmt, bf16
        dset d3.s1, 128
        loop 4, done
        dma d2, d3 wait=b_free signal=b_full
        dnext d2
        dadd d3.base, 32
done:
        halt

.stream st0
        label 0
        ldp r1, 0
        dset d0.space, hbm              ; d0: 16x16 elements of c
        dset d0.fmt, bf16
        dset d0.n0, 16
        dset d0.n1, 16
        dset d0.s1, 128
        dsetr d0.base, r1, c
        dset d1.space, sram             ; d1: tile of c
        dset d1.base, ct
        dset d1.fmt, bf16
        dset d1.s1, 32
        dset d1.ring_lo, ct
        dset d1.ring_size, 1024
        dset d1.ring_step, 512
        loop 4, done
        dma d0, d1 wait=c_full signal=c_free
        dadd d0.base, 32
        dnext d1
done:
        halt
