/* Which registers, and which parameters, can matter to a time? A backward data-flow analysis over one stream: a value matters if it reaches
   a loop count, a branch, a descriptor field other than an address, or another core. Folding and fast-forward both stand on it. */
#include <stdlib.h>
#include "machine.h"

static uint32_t bit(int r) { return r ? UINT32_C(1) << r : 0; } /* r0 reads 0 */

/* What an analysis looks for: what matters to a time at all; the same but for which chip is meant; which chip is meant alone. */
enum { ANY, NOT_PEERS, PEERS };

/* Registers whose value this instruction itself uses in a way that matters. */
static uint32_t used(const emu_insn *i, int what) {
  const int peer = i->op == EMU_OP_CSIGNAL || ((i->op == EMU_OP_DSETR || i->op == EMU_OP_DADDR) && i->field == AT_CORE);
  if (what != ANY && peer != (what == PEERS)) return 0;
  switch (i->op) {
    case EMU_OP_BEQ: case EMU_OP_BNE: case EMU_OP_BLT: case EMU_OP_BGE: return bit(i->ra) | bit(i->rb);
    case EMU_OP_LOOPR: case EMU_OP_RSIGNAL: case EMU_OP_CSIGNAL: return bit(i->ra);
    case EMU_OP_DSETR: case EMU_OP_DADDR: return emu_timeless(i->field) ? 0 : bit(i->ra);
    default: return 0;
  }
}

static uint32_t defined(const emu_insn *i) {
  return i->op >= EMU_OP_LI && i->op <= EMU_OP_LDS ? bit(i->rd) : 0;
}

static uint32_t sources(const emu_insn *i) {
  if (i->op < EMU_OP_LIH || i->op > EMU_OP_LDS) return 0;
  const int two = (i->op >= EMU_OP_ADD && i->op <= EMU_OP_MUL) || i->op == EMU_OP_MIN || i->op == EMU_OP_MAX || (i->op >= EMU_OP_AND && i->op <= EMU_OP_XOR);
  return bit(i->ra) | (two ? bit(i->rb) : 0);
}

/* back[at]: the innermost loop whose body ends with this word, as the position of its loop instruction; link[loop]: the next one out. */
static uint32_t flow(const emu_insn *code, int32_t words, const uint32_t *live, const int32_t *back, int32_t at) {
  const int32_t *link = back + words + 1;
  const emu_insn *i = &code[at];
  uint32_t out = i->op == EMU_OP_HALT ? 0 : live[at + 1];
  const int jumps = emu_op_info[i->op].format == EMU_WORD_L; /* branches and loops: to pc + off too */
  if (jumps && at + i->off <= words) out |= live[at + i->off];
  for (int32_t b = back[at]; b >= 0; b = link[b]) out |= live[b + 1];
  return out;
}

/* Where the bodies of loops end; nothing is live yet. */
static void link_loops(const emu_insn *code, int32_t words, uint32_t *live, int32_t *back) {
  int32_t *link = back + words + 1;
  for (int32_t at = 0; at <= words; at++) live[at] = 0, back[at] = link[at] = -1;
  for (int32_t at = 0; at < words; at++) {
    const emu_insn *i = &code[at];
    if ((i->op == EMU_OP_LOOP || i->op == EMU_OP_LOOPR) && i->off > 1) link[at] = back[at + i->off - 1], back[at + i->off - 1] = at;
  }
}

static void settle(const emu_insn *code, int32_t words, uint32_t *live, const int32_t *back, int what) {
  for (int changed = 1; changed;) {
    changed = 0;
    for (int32_t at = words - 1; at >= 0; at--) {
      const uint32_t out = flow(code, words, live, back, at), def = defined(&code[at]);
      const uint32_t now = (out & ~def) | used(&code[at], what) | (out & def ? sources(&code[at]) : 0);
      if (now != live[at]) live[at] = now, changed = 1;
    }
  }
}

/* live[words + 1]: relevant registers before each word. params[j] is set where parameter j matters. 0 good, 1 if a core can learn which one
   it is or reach another (cid, ldpx, lds, rsignal, csignal, multicast, peers, net), -1 no memory. */
int emu_relevance(const emu_insn *code, int32_t words, uint32_t *live, uint8_t *params, int64_t nparams) {
  int32_t *back = malloc(((size_t)words + 1) * 2 * sizeof *back);
  int identity = 0;
  if (!back) return -1;
  link_loops(code, words, live, back);
  for (int32_t at = 0; at < words; at++) {
    const emu_insn *i = &code[at];
    identity |= i->op == EMU_OP_CID || i->op == EMU_OP_LDPX || i->op == EMU_OP_LDS || i->op == EMU_OP_RSIGNAL || i->op == EMU_OP_CSIGNAL || i->op == EMU_OP_DMAM || emu_is_net(i->op);
    identity |= i->op == EMU_OP_DSET && i->field == AT_SPACE && i->imm == EMU_SP_PEER;
  }
  settle(code, words, live, back, ANY);
  for (int32_t at = 0; params && at < words; at++)
    if (code[at].op == EMU_OP_LDP && (flow(code, words, live, back, at) & bit(code[at].rd)) && code[at].imm >= 0 && code[at].imm < nparams)
      params[code[at].imm] = 1;
  free(back);
  return identity;
}

/* The same between chips: params[j] is set where parameter j matters otherwise than by naming a chip, peers[j] where it names one. 1 if what
   matters is looked up, or a chip is named by anything but a parameter as it is, or a list's tokens would come from several chips. */
int emu_chip_relevance(const emu_insn *code, int32_t words, uint32_t *live, uint8_t *params, uint8_t *peers, int64_t nparams) {
  int32_t *back = malloc(((size_t)words + 1) * 2 * sizeof *back);
  int unclear = 0;
  if (!back) return -1;
  for (int what = NOT_PEERS; what <= PEERS; what++) {
    link_loops(code, words, live, back);
    settle(code, words, live, back, what);
    for (int32_t at = 0; at < words; at++) {
      const emu_insn *i = &code[at];
      unclear |= i->op == EMU_OP_PUTM && i->signal;
      if (!(flow(code, words, live, back, at) & defined(i))) continue;
      if (i->op == EMU_OP_LDP && i->imm >= 0 && i->imm < nparams) (what == PEERS ? peers : params)[i->imm] = 1;
      else unclear |= i->op == EMU_OP_LDPX || i->op == EMU_OP_LDS || (what == PEERS && i->op != EMU_OP_LI);
    }
  }
  free(back);
  return unclear;
}
