; Copies 16 KiB from hbm to hbm through the scratchpad of each core: 4 cores, 4 chunks of 1 KiB each.
; Two slots let the load of one chunk overlap the store of the one before.
.program copy
.cores 4
.buffer x    hbm  0x0000 16384 in  int8 16384
.buffer y    hbm  0x4000 16384 out int8 16384
.buffer slot sram 0x0    2048  temp
.sem 1 full 0                   ; tokens from ld0 to st0: chunks that have arrived
.sem 2 free 2                   ; tokens from st0 to ld0: slots that may be overwritten
.label 0 copy

.stream ld0
        label 0
        cid r1
        muli r1, r1, 4096
        dset d0.space, sram     ; d0: slot, walks a ring of two
        dset d0.base, slot
        dset d0.fmt, int8
        dset d0.n0, 1024
        dset d0.ring_lo, slot
        dset d0.ring_size, 2048
        dset d0.ring_step, 1024
        dset d1.space, hbm      ; d1: this core's quarter of x
        dset d1.fmt, int8
        dsetr d1.base, r1, x
        loop 4, done
        dma d0, d1 wait=free signal=full
        dnext d0
        dadd d1.base, 1024
done:
        halt

.stream st0
        label 0
        cid r1
        muli r1, r1, 4096
        dset d0.space, hbm      ; d0: this core's quarter of y
        dset d0.fmt, int8
        dset d0.n0, 1024
        dsetr d0.base, r1, y
        dset d1.space, sram     ; d1: slot
        dset d1.base, slot
        dset d1.fmt, int8
        dset d1.ring_lo, slot
        dset d1.ring_size, 2048
        dset d1.ring_step, 1024
        loop 4, done
        dma d0, d1 wait=full signal=free
        dadd d0.base, 1024
        dnext d1
done:
        halt
