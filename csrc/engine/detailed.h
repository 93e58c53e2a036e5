/* Device memory in `detailed`: every transfer becomes requests to the DRAM controllers of csrc/dram, which have a clock of their own. What
   a request does besides (the DMA port, the way there and back) is here. docs/decisions/0021-detailed-fidelity.md says why it is so. */
#ifndef EMU_DETAILED_H
#define EMU_DETAILED_H
#include "dram/dram.h"
#include "machine.h"
#include "walk.h"

/* `channels` systems of one channel each, any number of them; chunks of `chunk_bytes` take turns among them. there_fs, back_fs: between the
   core and the controller, so that a read of a closed row without anybody else takes the chip's hbm latency. */
typedef struct { int64_t channels, tick_fs, chunk_bytes, there_fs, back_fs; } emu_detailed_config;

/* Takes the systems, also when it fails (NULL). */
emu_detailed *emu_detailed_new(const emu_detailed_config *c, int64_t streams, emu_dram **channels);
void emu_detailed_free(emu_detailed *d);
const emu_dram *emu_detailed_channel(const emu_detailed *d, int64_t channel);

/* What a transfer is about to read and write: an operand in device memory, which is copied, or NULL. */
typedef struct { const emu_operand *o; emu_rows rows; } emu_side;
void emu_detailed_note(emu_machine *m, const emu_stream *s, const emu_side sides[2]);
/* Its data phase begins; it ends (fluid.c): then the stream goes on, and what it signals comes with its last byte, in the stream's order. */
int emu_detailed_start(emu_machine *m, emu_flow *f);
int emu_detailed_ended(emu_machine *m, emu_stream *s, const emu_flow *f, int64_t latency_fs);
/* A free-standing signal behind transfers under way; 1 if it was taken. A fence or barrier behind them: 1 if the stream has to wait. */
int emu_detailed_signal(emu_machine *m, emu_stream *s, int core, int sem, int count, int64_t hop_fs);
int emu_detailed_waits(emu_machine *m, emu_stream *s);
int emu_detailed_step(emu_machine *m); /* as emu_fluid_step, which it contains */
int emu_detailed_close(emu_machine *m); /* refreshes until the end of the run */
int emu_detailed_sends(const emu_detailed *d, int stream); /* whether it is in the data phase of a transfer from or to device memory */
/* cache.c: sectors of a block, a bit each, that no tier has, or (write) that leave one for device memory; -1 without memory */
int emu_detailed_sectors(emu_detailed *d, int64_t block, uint32_t sectors, int64_t sector_bytes, int write);
#endif
