/* A network on chip, cycle by cycle: routers with virtual channels, finite input buffers and credits. docs/noc.md says what each clock
   does. The topology is data: links, where nodes are attached, and for every router and destination the output port. Nothing here
   knows a mesh. */
#ifndef EMU_NOC_H
#define EMU_NOC_H
#include <stdint.h>

#define NOC_MAX_NODES 1024
#define NOC_MAX_PORTS 63 /* of a router; one more output leads to its adder */
#define NOC_MAX_VCS 16
#define NOC_MAX_DEPTH 256
#define NOC_MAX_LATENCY 32
#define NOC_MAX_PACKETS (1 << 26)
#define NOC_WHEEL 64 /* clocks for which anything can be under way: more than switch, link and credit delays together */
#define NOC_NEVER INT64_MAX

enum noc_error { NOC_OK, NOC_MEMORY, NOC_OVERFLOW, NOC_ORDER, NOC_LOST, NOC_CREDITS, NOC_PACKETS, NOC_ADDERS, NOC_STUCK };
enum noc_state { NOC_IDLE, NOC_WAITS, NOC_ACTIVE };

typedef struct { int32_t packet; uint16_t seq, tail; } noc_flit;

/* An input virtual channel: a ring of flits, and where its first packet goes. */
typedef struct {
  uint16_t head, count;
  uint8_t state, out, out_vc, vc, at; /* vc, at: which channel of which port of `router` this is */
  uint16_t router;
  int32_t port;       /* router * stride + at */
  uint32_t allowed;   /* virtual channels that the packet may take at `out` */
  int32_t copies;     /* multicast: its branches; -1 */
  int32_t sums;       /* the reduction whose combined packet this one carries on; -1 */
} noc_in;

/* An output virtual channel: places free downstream, and the input channel that holds it. */
typedef struct { int32_t credits, owner; } noc_out;

typedef struct { int32_t to, from, cycles; uint8_t sink, wraps, dim, pad; } noc_port; /* of a router; both directions, see build.c */

typedef struct { uint8_t out, vc, has_vc, pad; uint32_t allowed; int32_t child; uint16_t sent; } noc_branch;
typedef struct { int32_t n, popped, length, next; noc_branch b[NOC_MAX_PORTS + 1]; } noc_copies;

/* src, dst: nodes; dst -1: the `count` destinations from `first` in the pool of places. number: of a pair, in the order of injection. */
typedef struct { int32_t src, dst, length, root, first, count, group, number, got, next; int64_t time; } noc_packet;
/* A destination of a multicast: its node, and the number of the packet between this pair. */
typedef struct { int32_t node, number; } noc_place;

/* A reduction at one router of its tree: contributions that come, heads seen, flits added so far per place in the packet. */
typedef struct { int32_t group, router, expected, heads, length, forward, tails, next; uint16_t *added; } noc_sum;
typedef struct { int32_t first, packet; } noc_group; /* first: list of its sums; packet: under which it is delivered */

typedef struct { int64_t arrived, delivered; int32_t packet, node; } noc_delivery;
typedef struct { int32_t target; noc_flit flit; } noc_event;   /* target: see cycle.c */
typedef struct { noc_event *v; int32_t n, cap; } noc_events;
typedef struct { int32_t *v, n, cap; } noc_ids;
typedef struct { int32_t first, last, port, sent, vc, rr; int32_t *credits; } noc_source; /* a node's queue, and its packet under way */
typedef struct { int64_t time; int32_t node; } noc_alarm;
typedef struct { int32_t packet, number, next; int64_t arrived; int32_t node; } noc_held;

typedef struct {
  int32_t nodes, routers, ports, vcs, depth, classes, credit_delay, inject_cycles, switch_cycles, sink_cycles, adders, ordered;
} noc_config;

typedef struct noc {
  noc_config c;
  int32_t stride;            /* ports + 1: outputs of a router, the last one its adder */
  int64_t now;               /* every clock before this one is done */
  noc_port *port;            /* [router][stride] */
  uint8_t *route, *closes;   /* [router][node] -> port; whether the way along that port's dimension passes the link that closes its ring */
  int32_t *attach;           /* [node] -> router * stride + port */
  uint32_t class_mask[2];
  noc_in *in;                /* [router][stride][vc] */
  noc_out *out;
  noc_flit *ring;            /* [router][stride][vc][depth] */
  uint32_t *ready, *waits, *free_vcs; /* [router][stride]: masks of virtual channels */
  uint64_t *ready_ports, *waits_ports; /* [router]: masks of ports with any */
  uint8_t *vc_turn, *in_turn, *port_turn, *first_turn;
  uint64_t *busy;            /* routers with something to do: a bit each */
  uint64_t *sending;         /* nodes with a packet under way or due */
  noc_source *source;
  noc_alarm *alarm; int32_t alarms, alarm_cap;
  noc_events wheel[NOC_WHEEL];
  noc_ids credit[NOC_WHEEL];
  int64_t pending;           /* events and credits on the wheels */
  noc_packet *packet; int32_t packets, packet_cap;
  noc_place *place; int32_t places, place_cap;
  noc_copies *copies; int32_t ncopies, copies_cap, copies_free;
  noc_sum *sum; int32_t sums, sum_cap; int32_t *open; /* per router: reductions open */
  noc_group *group; int32_t groups, group_cap;
  int32_t *sent, *expected;  /* [src][dst]: packets injected, delivered in order */
  noc_held *held; int32_t helds, held_cap, held_free; int32_t *held_of; /* by destination */
  noc_delivery *delivery; int64_t deliveries, delivery_cap;
  int64_t *flits;            /* [router][stride]: sent over each output */
  int64_t *injected;         /* [node] */
  int64_t in_network;        /* deliveries still to come */
  int64_t clocks, moves;     /* clocks looked at; grants and allocations */
  int error;
} noc;

/* build.c */
int noc_prepare(noc *n); /* after c; tables are to be filled then */
void noc_ready_to_go(noc *n);
void noc_free(noc *n);
int noc_grow(void **v, int32_t *cap, int32_t need, int32_t size);
/* inject.c: all return a number >= 0 or -error */
int noc_inject(noc *n, int64_t time, int32_t src, const int32_t *dst, int32_t count, int32_t length);
int noc_inject_many(noc *n, int64_t many, const int64_t *time, const int32_t *src, const int32_t *dst, const int32_t *length);
int noc_reduce(noc *n, const int64_t *time, const int32_t *src, int32_t count, int32_t dst, int32_t length);
void noc_sources(noc *n, int64_t t);
int64_t noc_next_alarm(const noc *n);
/* cycle.c */
int noc_advance(noc *n, int64_t until);
void noc_refresh(noc *n, int32_t in);
void noc_later(noc *n, int64_t t, int32_t target, noc_flit f);
void noc_head(noc *n, int32_t in);
void noc_send(noc *n, const noc_in *i, int32_t out, int32_t vc, noc_flit f, int64_t t);
void noc_pop(noc *n, noc_in *i, int64_t t);
void noc_wait(noc *n, const noc_in *i);
uint32_t noc_allowed(const noc *n, const noc_in *i, int32_t out, int closes);
int noc_take(noc *n, int32_t in, int32_t out, uint32_t allowed);
/* special.c: multicast, reduction, delivery */
void noc_split(noc *n, int32_t in);
uint64_t noc_copies_ready(const noc *n, const noc_in *i);
int noc_copies_allocate(noc *n, int32_t in);
void noc_copies_send(noc *n, int32_t in, int32_t out, int64_t t);
void noc_joins(noc *n, int32_t in, const noc_packet *p);
void noc_added(noc *n, int32_t sum, int32_t seq);
void noc_close_sum(noc *n, int32_t sum);
void noc_deliver(noc *n, noc_flit f, int32_t node, int64_t t);
/* audit.c: whether every place of every buffer is accounted for */
int noc_audit(noc *n);

static inline noc_flit *noc_front(const noc *n, int32_t in) { return &n->ring[(int64_t)in * n->c.depth + n->in[in].head]; }
static inline int noc_turn(uint64_t mask, int from) { /* the first bit at or after `from`, round and round */
  const uint64_t high = mask & (~UINT64_C(0) << from);
  return __builtin_ctzll(high ? high : mask);
}
#define NOC_SUM_TARGET (-(1 << 20)) /* of an event: input channel >= 0, node -1 - node, reduction NOC_SUM_TARGET - sum */
#endif
