; y[i,:] = softmax(x[i,:]) of a 16x64 fp32 matrix: 4 cores, 4 rows each, all steps on the vector engine.
; The maximum is subtracted first, so that no e^x overflows.
.program softmax
.cores 4
.buffer x    hbm  0x0000 4096 in  fp32 16x64
.buffer y    hbm  0x1000 4096 out fp32 16x64
.buffer rows sram 0x0000 1024 temp      ; 4 rows, worked on in place
.buffer one  sram 0x0400 16   temp      ; one value per row: the maximum, then the sum
.sem 1 loaded 0                         ; ld0 -> vec
.sem 2 ready 0                          ; vec -> st0
.label 0 softmax

.stream vec
        label 0
        dset d0.space, sram             ; d0: the rows
        dset d0.base, rows
        dset d0.n0, 64
        dset d0.n1, 4
        dset d0.s1, 256
        dset d1.space, sram             ; d1: one value per row, as destination of a reduction
        dset d1.base, one
        dset d1.n1, 4
        dset d1.s1, 4
        dset d2.space, sram             ; d2: the same value for each column of its row
        dset d2.base, one
        dset d2.n0, 64
        dset d2.n1, 4
        dset d2.s0, 0
        dset d2.s1, 4
        vrmax d1, d0 wait=loaded
        vsub d0, d0, d2
        vexp d0, d0
        vrsum d1, d0
        vdiv d0, d0, d2 signal=ready
        halt

.stream ld0
        label 0
        cid r1
        muli r1, r1, 1024
        dset d0.space, sram
        dset d0.base, rows
        dset d0.n0, 256
        dset d1.space, hbm
        dsetr d1.base, r1, x
        dma d0, d1 signal=loaded
        halt

.stream st0
        label 0
        cid r1
        muli r1, r1, 1024
        dset d0.space, hbm
        dset d0.n0, 256
        dsetr d0.base, r1, y
        dset d1.space, sram
        dset d1.base, rows
        dma d0, d1 wait=ready
        halt
