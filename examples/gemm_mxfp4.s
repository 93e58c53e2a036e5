; c = a @ b' in MXFP4: elements of fp4 (two in a byte), an e8m0 scale for each 32 of them along k; fp32 accumulators. 16x64 times 8x64
; (b is stored [n, k], flag bt), on one core of a chip that takes fp4 with mx scales and k = 64 in one instruction, as `jalapeno` does.
; Rows of a and b are 32 bytes; their scales are tensors of their own, two for each row, which follow the elements in the scratchpad.
.program gemm_mxfp4
.cores 1
.buffer a       hbm  0x0000 512 in  fp4_e2m1 16x64
.buffer a_scale hbm  0x0200 32  in  e8m0 16x2
.buffer b       hbm  0x0400 256 in  fp4_e2m1 8x64
.buffer b_scale hbm  0x0600 16  in  e8m0 8x2
.buffer c       hbm  0x0800 512 out fp32 16x8
.buffer at      sram 0x0000 544 temp    ; a, then its scales
.buffer bt      sram 0x0400 272 temp    ; b, then its scales
.buffer sum     acc  0x0000 512 temp
.sem 1 a_full 0                         ; ld0 -> mm
.sem 2 b_full 0                         ; ld1 -> mm
.sem 3 c_full 0                         ; mm -> st0

.stream ld0
        dset d0.space, sram
        dset d0.base, at
        dset d0.fmt, fp4_e2m1
        dset d0.n0, 64
        dset d0.n1, 16
        dset d0.s1, 32
        dset d1.base, a
        dset d1.fmt, fp4_e2m1
        dset d1.s1, 32
        dma d0, d1
        dset d0.base, at+512
        dset d0.fmt, e8m0
        dset d0.n0, 32
        dset d0.n1, 1
        dset d1.base, a_scale
        dset d1.fmt, e8m0
        dma d0, d1 signal=a_full
        halt

.stream ld1
        dset d0.space, sram
        dset d0.base, bt
        dset d0.fmt, fp4_e2m1
        dset d0.n0, 64
        dset d0.n1, 8
        dset d0.s1, 32
        dset d1.base, b
        dset d1.fmt, fp4_e2m1
        dset d1.s1, 32
        dma d0, d1
        dset d0.base, bt+256
        dset d0.fmt, e8m0
        dset d0.n0, 16
        dset d0.n1, 1
        dset d1.base, b_scale
        dset d1.fmt, e8m0
        dma d0, d1 signal=b_full
        halt

.stream mm
        dset d0.space, acc              ; d0: 16 x 8 accumulators
        dset d0.base, sum
        dset d0.n0, 8
        dset d0.n1, 16
        dset d0.s1, 32
        dset d1.space, sram             ; d1: a, 16 x 64
        dset d1.base, at
        dset d1.fmt, fp4_e2m1
        dset d1.n0, 64
        dset d1.n1, 16
        dset d1.s1, 32
        dset d1.scales, mx
        dset d1.scale, 512              ; behind the elements
        dset d1.scale_s1, 2
        dset d2.space, sram             ; d2: b, 8 x 64
        dset d2.base, bt
        dset d2.fmt, fp4_e2m1
        dset d2.n0, 64
        dset d2.n1, 8
        dset d2.s1, 32
        dset d2.scales, mx
        dset d2.scale, 256
        dset d2.scale_s1, 2
        wait a_full, 1
        wait b_full, 1
        mm d0, d1, d2 bt signal=c_full
        halt

.stream st0
        dset d0.base, c
        dset d0.n0, 8
        dset d0.n1, 16
        dset d0.s1, 32
        dset d1.space, acc
        dset d1.base, sum
        dset d1.s1, 32
        dma d0, d1 wait=c_full
        halt
