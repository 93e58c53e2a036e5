# The kernel language's integers that may differ between cores (emu/kernels/lang/percore.py says what they are for).
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.number cimport PyNumber_Index


cdef extern from "map/percore.h" nogil:
    int PERCORE_ADD, PERCORE_SUB, PERCORE_MUL, PERCORE_FLOORDIV, PERCORE_MOD, PERCORE_MIN, PERCORE_MAX, PERCORE_LESS
    int PERCORE_DIVISION
    int emu_percore_combine(int, const int64_t *, int, const int64_t *, int, int64_t *, int64_t)
    int emu_percore_same(const int64_t *, int64_t)


cdef object too_large():
    from emu.errors import UnsupportedError
    return UnsupportedError("a number that differs between cores does not fit 64 bits")


cdef int64_t number(object value) except? -1:
    try:
        return value if isinstance(value, int) else PyNumber_Index(value)
    except OverflowError:
        raise too_large() from None


cdef class PerCore:
    """One integer of 64 bits per core. Made by `uniform` and by arithmetic, which give a plain int where all are equal."""

    cdef int64_t *value
    cdef Py_ssize_t cores
    cdef Py_hash_t hashed

    def __cinit__(self, values=()):
        cdef Py_ssize_t j
        self.cores = len(values)
        self.value = <int64_t *>PyMem_Malloc(max(self.cores, 1) * sizeof(int64_t))
        if self.value == NULL:
            raise MemoryError("no memory for the numbers of the cores")
        for j in range(self.cores):
            self.value[j] = number(values[j])

    def __dealloc__(self):
        PyMem_Free(self.value)

    @property
    def values(self):
        return tuple([self.value[j] for j in range(self.cores)])

    def __reduce__(self):
        return PerCore, (self.values,)

    def __eq__(self, other):
        cdef PerCore theirs
        cdef Py_ssize_t j
        if not isinstance(other, PerCore):
            return False
        theirs = other
        if self.cores != theirs.cores:
            return False
        for j in range(self.cores):
            if self.value[j] != theirs.value[j]:
                return False
        return True

    def __hash__(self):
        cdef uint64_t mixed = self.cores
        cdef Py_ssize_t j
        if self.hashed == 0:
            for j in range(self.cores):  # FNV's prime; the shift brings high bits down
                mixed = (mixed ^ (mixed >> 32) ^ <uint64_t>self.value[j]) * <uint64_t>1099511628211ULL
            self.hashed = <Py_hash_t>(mixed >> 2) or 1
        return self.hashed

    def __repr__(self):
        return f"per_core({list(self.values)})"

    def __add__(self, other):
        return combine(PERCORE_ADD, self, other)

    def __radd__(self, other):
        return combine(PERCORE_ADD, other, self)

    def __sub__(self, other):
        return combine(PERCORE_SUB, self, other)

    def __rsub__(self, other):
        return combine(PERCORE_SUB, other, self)

    def __mul__(self, other):
        return combine(PERCORE_MUL, self, other)

    def __rmul__(self, other):
        return combine(PERCORE_MUL, other, self)

    def __floordiv__(self, other):
        return combine(PERCORE_FLOORDIV, self, other)

    def __rfloordiv__(self, other):
        return combine(PERCORE_FLOORDIV, other, self)

    def __mod__(self, other):
        return combine(PERCORE_MOD, self, other)

    def __rmod__(self, other):
        return combine(PERCORE_MOD, other, self)

    def __neg__(self):
        return combine(PERCORE_SUB, 0, self)


cdef object settled(PerCore made):
    return made.value[0] if emu_percore_same(made.value, made.cores) else made


cdef PerCore empty(Py_ssize_t cores):
    cdef PerCore made = PerCore.__new__(PerCore)
    PyMem_Free(made.value)
    made.cores = cores
    made.value = <int64_t *>PyMem_Malloc(cores * sizeof(int64_t))
    if made.value == NULL:
        raise MemoryError("no memory for the numbers of the cores")
    return made


cdef object combine(int op, object a, object b):
    """`a` OP `b` core by core; at least one of them differs between cores. NotImplemented for an operator's side of another kind."""
    cdef int64_t left = 0, right = 0
    cdef const int64_t *x = &left
    cdef const int64_t *y = &right
    cdef Py_ssize_t cores = 0
    cdef PerCore made
    cdef bint differs_a = isinstance(a, PerCore), differs_b = isinstance(b, PerCore)
    if differs_a:
        x, cores = (<PerCore>a).value, (<PerCore>a).cores
    elif isinstance(a, int) or op >= PERCORE_MIN:
        left = number(a)
    else:
        return NotImplemented
    if differs_b:
        if differs_a and (<PerCore>b).cores != cores:
            raise ValueError(f"numbers of {cores} and of {(<PerCore>b).cores} cores")
        y, cores = (<PerCore>b).value, (<PerCore>b).cores
    elif isinstance(b, int) or op >= PERCORE_MIN:
        right = number(b)
    else:
        return NotImplemented
    made = empty(cores)
    cdef int wrong = emu_percore_combine(op, x, differs_a, y, differs_b, made.value, cores)
    if wrong:
        raise ZeroDivisionError("division of a number of each core by zero") if wrong == PERCORE_DIVISION else too_large()
    return settled(made)


def uniform(values):
    """The numbers of all cores: a plain int where they agree."""
    return settled(PerCore(values if isinstance(values, (tuple, list)) else tuple(values)))


def smaller(a, b):
    """The minimum, core by core."""
    if isinstance(a, PerCore) or isinstance(b, PerCore):
        return combine(PERCORE_MIN, a, b)
    return b if b < a else a


def larger(a, b):
    """The maximum, core by core."""
    if isinstance(a, PerCore) or isinstance(b, PerCore):
        return combine(PERCORE_MAX, a, b)
    return b if b > a else a


def less(a, b):
    """1 on cores where a < b, else 0."""
    return combine(PERCORE_LESS, a, b) if isinstance(a, PerCore) or isinstance(b, PerCore) else int(a < b)


cdef object extreme(object a, object live, bint least):
    """The least or greatest number of any core for which `live` is not 0; 0 if there is none."""
    cdef PerCore each
    cdef const int64_t *alive = NULL
    cdef int64_t best = 0
    cdef bint found = False
    cdef Py_ssize_t j
    if isinstance(live, PerCore):
        if not isinstance(a, PerCore):
            return a
        alive = (<PerCore>live).value
    elif not live:
        return 0
    if not isinstance(a, PerCore):
        return a
    each = a
    for j in range(each.cores):
        if (alive == NULL or alive[j]) and (not found or (each.value[j] < best if least else each.value[j] > best)):
            best, found = each.value[j], True
    return best


def lowest(a, live=1):
    """The least value of any core that is live; 0 if none is."""
    return extreme(a, live, True)


def highest(a, live=1):
    """The greatest value of any core that is live; 0 if none is."""
    return extreme(a, live, False)


def never_above(a, b, live=1):
    """Whether a <= b on every live core."""
    if not isinstance(a, PerCore) and not isinstance(b, PerCore) and not isinstance(live, PerCore):
        return a <= b or not live
    return highest(less(b, a), live) == 0
