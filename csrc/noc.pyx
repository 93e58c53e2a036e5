# cython: language_level=3, boundscheck=False, wraparound=False
"""The border between Python and csrc/noc: tables in, packets in, deliveries out (see _noc.pyi)."""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

cdef extern from "noc/noc.h" nogil:
    ctypedef struct noc_config:
        int32_t nodes, routers, ports, vcs, depth, classes, credit_delay, inject_cycles, switch_cycles, sink_cycles, adders, ordered
    ctypedef struct noc_port:
        int32_t to
        int32_t from_ "from"
        int32_t cycles
        uint8_t sink, wraps, dim
    ctypedef struct noc_delivery:
        int64_t arrived, delivered
        int32_t packet, node
    ctypedef struct noc:
        noc_config c
        int32_t stride
        int64_t now
        noc_port *port
        uint8_t *route
        uint8_t *closes
        int32_t *attach
        noc_delivery *delivery
        int64_t deliveries
        int64_t *flits
        int64_t *injected
        int64_t in_network, clocks
    int noc_prepare(noc *n)
    void noc_ready_to_go(noc *n)
    void noc_free(noc *n)
    int noc_inject(noc *n, int64_t time, int32_t src, const int32_t *dst, int32_t count, int32_t length)
    int noc_inject_many(noc *n, int64_t many, const int64_t *time, const int32_t *src, const int32_t *dst, const int32_t *length)
    int noc_reduce(noc *n, const int64_t *time, const int32_t *src, int32_t count, int32_t dst, int32_t length)
    int noc_advance(noc *n, int64_t until)
    int noc_audit(noc *n)

ERROR_NAMES = ("ok", "memory", "overflow", "order", "lost", "credits", "packets", "adders", "stuck")


class NocFailure(Exception):
    """`code` is one of ERROR_NAMES."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


cdef int checked(int rc) except -1:
    if rc >= 0:
        return rc
    raise NocFailure(ERROR_NAMES[-rc])


cdef class Network:
    cdef noc n

    def __cinit__(self):
        memset(&self.n, 0, sizeof(noc))

    def __dealloc__(self):
        noc_free(&self.n)

    def __init__(self, dict config, const int32_t[:, ::1] links, const int32_t[:, ::1] attach, const uint8_t[:, ::1] route,
                 const uint8_t[:, ::1] closes):
        self.n.c = config
        checked(noc_prepare(&self.n))
        cdef noc_port *p
        cdef int64_t j
        cdef int32_t out, into, at
        for j in range(links.shape[0]):  # router, port, to router, to port, cycles, dimension, whether it closes a ring
            out, into = links[j, 0] * self.n.stride + links[j, 1], links[j, 2] * self.n.stride + links[j, 3]
            p = &self.n.port[out]
            p.to, p.cycles, p.dim, p.wraps = into, links[j, 4], <uint8_t>links[j, 5], <uint8_t>links[j, 6]
            self.n.port[into].from_ = out
        for j in range(attach.shape[0]):
            at = attach[j, 0] * self.n.stride + attach[j, 1]
            self.n.attach[j] = at
            p = &self.n.port[at]
            p.to, p.from_, p.cycles = <int32_t>(-2 - j), <int32_t>(-2 - j), attach[j, 2]
            for r in range(route.shape[0]):
                self.n.route[r * self.n.c.nodes + j], self.n.closes[r * self.n.c.nodes + j] = route[r, j], closes[r, j]
        noc_ready_to_go(&self.n)

    @property
    def now(self):
        return self.n.now

    @property
    def pending(self):
        return self.n.in_network

    @property
    def clocks(self):
        return self.n.clocks

    def inject(self, int64_t time, int32_t src, const int32_t[::1] dst, int32_t length):
        return checked(noc_inject(&self.n, time, src, &dst[0], <int32_t>dst.shape[0], length))

    def inject_many(self, const int64_t[::1] time, const int32_t[::1] src, const int32_t[::1] dst, const int32_t[::1] length):
        cdef int rc
        if not time.shape[0]:
            return 0
        with nogil:
            rc = noc_inject_many(&self.n, time.shape[0], &time[0], &src[0], &dst[0], &length[0])
        return checked(rc)

    def reduce(self, const int64_t[::1] time, const int32_t[::1] src, int32_t dst, int32_t length):
        return checked(noc_reduce(&self.n, &time[0], &src[0], <int32_t>src.shape[0], dst, length))

    def advance(self, int64_t until):
        cdef int rc
        with nogil:
            rc = noc_advance(&self.n, until)
        checked(rc)

    def audit(self):
        checked(noc_audit(&self.n))

    def deliveries(self, int64_t[:, ::1] into):
        """Packet, node, arrived, delivered of all deliveries, which are forgotten; `into` has their number of rows."""
        cdef int64_t j
        for j in range(self.n.deliveries):
            into[j, 0], into[j, 1] = self.n.delivery[j].packet, self.n.delivery[j].node
            into[j, 2], into[j, 3] = self.n.delivery[j].arrived, self.n.delivery[j].delivered
        self.n.deliveries = 0

    @property
    def delivered(self):
        return self.n.deliveries

    def flits(self, int64_t[:, ::1] over, int64_t[::1] injected):
        """Flits sent so far: over each output of each router, the last one its adder, and by each node."""
        for r in range(self.n.c.routers):
            for p in range(self.n.stride):
                over[r, p] = self.n.flits[r * self.n.stride + p]
        for j in range(self.n.c.nodes):
            injected[j] = self.n.injected[j]
