/* Words to instructions, once per run; and the configuration's fields by name. */
#include <stdlib.h>
#include <string.h>
#include "machine.h"

const uint8_t emu_field_place[EMU_F_COUNT] = {
  [EMU_F_SPACE] = AT_SPACE, [EMU_F_BASE] = AT_BASE, [EMU_F_FMT] = AT_FMT, [EMU_F_N0] = AT_N0, [EMU_F_N1] = AT_N1, [EMU_F_N2] = AT_N2,
  [EMU_F_N3] = AT_N3, [EMU_F_S0] = AT_S0, [EMU_F_S1] = AT_S1, [EMU_F_S2] = AT_S2, [EMU_F_S3] = AT_S3, [EMU_F_CORE] = AT_CORE,
  [EMU_F_SCALAR] = AT_SCALAR, [EMU_F_ACCUMULATE] = AT_ACCUMULATE, [EMU_F_RING_LO] = AT_RING_LO, [EMU_F_RING_SIZE] = AT_RING_SIZE,
  [EMU_F_RING_STEP] = AT_RING_STEP, [EMU_F_DIAG] = AT_DIAG, [EMU_F_WINDOW] = AT_WINDOW, [EMU_F_SEED] = AT_SEED,
  [EMU_F_SCALES] = AT_SCALES, [EMU_F_SCALE] = AT_SCALE, [EMU_F_SCALE_S1] = AT_SCALE_S1, [EMU_F_SCALE_S2] = AT_SCALE_S2,
  [EMU_F_W0] = AT_W0, [EMU_F_W1] = AT_W1, [EMU_F_W2] = AT_W2, [EMU_F_W3] = AT_W3,
};
_Static_assert((int)AT_COUNT == (int)EMU_F_COUNT, "every field of the tables has a place");

static void fields(emu_insn *i, const emu_op_info_t *info, uint64_t w) {
  switch (info->format) {
    case EMU_WORD_E:
      i->d0 = (uint8_t)emu_e_d0(w);
      i->d1 = (uint8_t)emu_e_d1(w);
      i->d2 = (uint8_t)emu_e_d2(w);
      i->wait = (uint8_t)emu_e_wait(w);
      i->signal = (uint8_t)emu_e_signal(w);
      i->flags = (uint16_t)emu_e_flags(w);
      break;
    case EMU_WORD_R:
      i->rd = (uint8_t)emu_r_rd(w);
      i->ra = (uint8_t)emu_r_ra(w);
      i->rb = (uint8_t)emu_r_rb(w);
      i->imm = emu_r_imm(w);
      break;
    case EMU_WORD_F:
      i->d0 = (uint8_t)emu_f_d0(w);
      i->field = (uint8_t)emu_f_field(w);
      if (i->field < EMU_F_COUNT) i->field = emu_field_place[i->field];
      i->ra = (uint8_t)emu_f_ra(w);
      i->imm = emu_f_imm(w);
      break;
    case EMU_WORD_L:
      i->ra = (uint8_t)emu_l_ra(w);
      i->rb = (uint8_t)emu_l_rb(w);
      i->off = (int32_t)emu_l_off(w);
      i->imm = emu_l_imm(w);
      break;
    default:
      i->wait = (uint8_t)emu_y_sem(w);
      i->ra = (uint8_t)emu_y_ra(w);
      i->imm = emu_y_imm(w);
  }
}

static int refuse(emu_machine *m, int kind, int32_t pc, const char *text) {
  int rc = emu_fail(m, NULL, E_ILLEGAL, text, 0, 0);
  m->fail.stream = kind;
  m->fail.pc = pc;
  return rc;
}

int emu_decode(emu_machine *m, int kind, const uint64_t *words, int32_t count) {
  emu_insn *code = calloc((size_t)count + 1, sizeof *code);
  if (!code) return emu_fail(m, NULL, E_MEMORY, "out of memory", 0, 0);
  m->code[kind] = code;
  m->words[kind] = count;
  emu_users_declare(m);
  for (int32_t j = 0; j < count; j++) {
    emu_insn *i = &code[j];
    i->op = (uint8_t)emu_op(words[j]);
    const emu_op_info_t *info = emu_info(m, i->op);
    if (!info->valid || (words[j] & info->must_be_zero)) return refuse(m, kind, j, "illegal word");
    if (info->engine != EMU_ENGINE_ANY && info->engine != emu_stream_engine[kind])
      return refuse(m, kind, j, "instruction of another engine in this stream");
    fields(i, info, words[j]);
    const int loop = i->op == EMU_OP_LOOP || i->op == EMU_OP_LOOPR, branch = info->format == EMU_WORD_L && !loop;
    const int label = i->op == EMU_OP_LABEL && (i->imm < 0 || i->imm >= m->nlabels);
    const int token = i->op == EMU_OP_WAIT || i->op == EMU_OP_SIGNAL || i->op == EMU_OP_RSIGNAL || i->op == EMU_OP_CSIGNAL || info->format == EMU_WORD_E;
    if (token && ((i->wait && !m->sem_declared[i->wait]) || (i->signal && !m->sem_declared[i->signal]) || (info->format != EMU_WORD_E && !i->wait)))
      return refuse(m, kind, j, "a semaphore that is not declared");
    if ((loop && (i->off < 1 || j + i->off > count)) || (branch && (j + i->off < 0 || j + i->off >= count)) || label ||
        (info->format == EMU_WORD_F && emu_f_field(words[j]) >= EMU_F_COUNT))
      return refuse(m, kind, j, "illegal operand");
  }
  return 0;
}

int emu_config_find(const char *name, int64_t *offset, int64_t *count) {
#define X(field) if (!strcmp(name, #field)) { *offset = (int64_t)offsetof(emu_config, field) / 8; *count = 1; return 0; }
#define N(field, n) if (!strcmp(name, #field)) { *offset = (int64_t)offsetof(emu_config, field) / 8; *count = (n); return 0; }
  EMU_CONFIG_FIELDS(X, N)
#undef X
#undef N
  return -1;
}
