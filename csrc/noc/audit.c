/* Places of buffers: those free by the sender's count, on their way as flits or as credits, and filled, are all there are. */
#include <stdlib.h>
#include "noc.h"

int noc_audit(noc *n) {
  const int64_t channels = (int64_t)n->c.routers * n->stride * n->c.vcs;
  int32_t *under_way = calloc((size_t)channels + 1, sizeof *under_way);
  int rc = 0;
  if (!under_way) return -NOC_MEMORY;
  for (int w = 0; w < NOC_WHEEL; w++) {
    for (int32_t j = 0; j < n->wheel[w].n; j++)
      if (n->wheel[w].v[j].target >= 0) under_way[n->wheel[w].v[j].target]++;
    for (int32_t j = 0; j < n->credit[w].n; j++) {
      const int32_t at = n->credit[w].v[j], node = (-1 - at) / n->c.vcs, vc = (-1 - at) % n->c.vcs;
      if (at < 0) under_way[n->attach[node] * n->c.vcs + vc]++;
      else under_way[n->port[at / n->c.vcs].to * n->c.vcs + at % n->c.vcs]++;
    }
  }
  for (int64_t in = 0; in < channels; in++) {
    const int32_t port = (int32_t)(in / n->c.vcs), vc = (int32_t)(in % n->c.vcs), from = n->port[port].from;
    if (from == -1) continue;
    const int32_t free_there = from >= 0 ? n->out[from * n->c.vcs + vc].credits : n->source[-2 - from].credits[vc];
    if (free_there < 0 || n->in[in].count > n->c.depth || free_there + under_way[in] + n->in[in].count != n->c.depth) rc = -NOC_CREDITS;
  }
  free(under_way);
  return rc;
}
