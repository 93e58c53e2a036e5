"""The dicts that results give with ``.to_dict()`` and the shell prints with ``--json``.

Keys carry their unit (``ttft_s``, ``weights_bytes``) or are themselves the name of a quantity in its SI unit (``seconds``, ``joules``,
``watts``). ``cycles`` are core clock cycles. Dimensionless fractions between 0 and 1: ``mfu``, ``mbu``, ``share``, ``largest_stall_share``,
``skipped_fraction``.
``None`` means "does not apply" (decode keys of an encoder). A key that changes its meaning raises SCHEMA_VERSION; a new key does not.
"""

from typing import Any, Final, TypedDict

SCHEMA_VERSION: Final = 1


class Digests(TypedDict):
    """Sha-256 in hex: two results with equal digests, fidelity, stack and seed are equal."""

    chip: str
    program: str | None  # None where several programs took part and no single digest names them
    isa: str


class Assumed(TypedDict):
    """A figure of the chip's description that nobody has published."""

    key: str
    value: str
    tag: str  # assumed | derived | recalled | reported
    source: str


class OpRow(TypedDict):
    """One kind of operation in a phase. ``seconds`` is the advance of the critical path, so the rows of a phase sum to it."""

    name: str
    kind: str
    count: int
    seconds: float
    share: float
    bound_by: str  # compute, hbm, sram, noc ...: the resource whose bound is the largest
    bound_s: float
    ratio: float | None  # seconds / bound_s
    largest_stall: str | None  # "engine: cause"
    largest_stall_share: float | None  # of that engine's time


class Knot(TypedDict):
    """A decode step that was simulated; between knots the step time is interpolated (midpoint error below 0.1 %)."""

    kv_len: int
    seconds: float


class Clocked(TypedDict):
    """The clock at which the work ran, and what the power cap cost it."""

    clock_hz: int  # core clock of the run
    capped: bool  # the power cap lowered the clock
    power_stall_s: float  # seconds less those at full clock, where the cap lowered it
    regime: str  # steady (the cap holds) | short (full clock, no cap) | locked (a clock that was asked for)
    cap_watts: float | None  # the cap that held; null where none did
    above_cap: str  # empty, or that even the lowest clock draws more


class Phase(Clocked):
    """Prefill, decode or encode."""

    seconds: float
    cycles: int
    watts: float
    joules: float
    mfu: float
    mbu: float
    bound_s: float
    bound_by: str
    above_tdp: bool
    energy: dict[str, float]  # component -> joules; sums to ``joules``
    counters: dict[str, int]
    stall_shares: dict[str, dict[str, float]]  # engine stream -> cause -> share of its time
    ops: list[OpRow]
    layer_period_s: float | None
    knots: list[Knot]
    skipped_fraction: float


class Memory(TypedDict):
    weights_bytes: int
    kv_bytes: int
    capacity_bytes: int


class Header(TypedDict):
    """What every result carries."""

    schema_version: int
    emu_version: str
    kind: str  # estimate | op | run | infer | infer_formats | validation | tuning | sensitivity | roofline
    chip: str
    hypothetical: bool
    digests: Digests
    fidelity: str
    stack: str
    seed: int


class EstimateDict(Header):
    model: str
    chips: int
    batch: int
    prompt: int
    generate: int
    dtype: str
    scales: str  # of activations: unit | dynamic | static
    kv_dtype: str
    data: str  # declared class of the tensors
    mapping: str  # chosen by the mapper, or given (in part)
    ttft_s: float | None
    tpot_s: float | None
    tokens_per_s: float | None
    joules_per_token: float | None
    sequences_per_s: float | None  # encoders
    mfu: float
    mbu: float
    watts: float
    phases: dict[str, Phase]  # prefill and decode, or encode
    assumed: list[Assumed]
    memory: Memory


class OpResultDict(Header, Clocked):
    op: str
    dtype: str
    data: str  # declared class of the operands: zeros | normal | random, or by kind
    seconds: float
    cycles: int
    joules: float
    watts: float
    above_tdp: bool
    bound_s: float
    bound_by: str
    ratio: float
    mfu: float
    mbu: float
    stalls: dict[str, dict[str, float]]  # engine -> {"busy_s": ..., "<cause>_s": ...}
    energy: dict[str, float]
    counters: dict[str, int]
    mapping: dict[str, Any]


class LabelRow(TypedDict):
    name: str
    seconds: float
    counters: dict[str, int]


class RunDict(Header):
    program: str
    cycles: int
    seconds: float
    joules: float
    watts: float
    counters: dict[str, int]
    labels: list[LabelRow]
    stalls: dict[str, dict[str, float]]  # by direct cause, over all cores
    stalls_root: dict[str, dict[str, float]]  # the same time by root cause
    energy: dict[str, float]


class FormatRow(TypedDict):
    dtype: str
    scales: str  # of activations: unit | dynamic | static
    weights_bytes: int
    cosine_to_reference: float
    cycles: int
    seconds: float
    joules: float
    program: str  # digest


class InferFormatsDict(Header):
    model: str
    text: str
    formats: list[FormatRow]
    refused: dict[str, str]  # dtype -> why the chip has it not
    assumed: list[Assumed]


class InferDict(Header):
    model: str
    dtype: str
    scales: str  # of activations: unit | dynamic | static
    weights_bytes: int
    text: str
    embedding: list[float]
    cosine_to_reference: float
    cycles: int
    seconds: float
    joules: float
    watts: float
    stalls: dict[str, dict[str, float]]


class VariantRow(TypedDict):
    parameters: dict[str, Any]
    seconds: list[float]  # one for each shape
    joules: list[float]
    cycles: list[int]
    ratio: float | None  # to the best of each shape, geometric mean; null where it failed
    failed: str  # empty, or why


class TuningDict(Header):
    kernel: str
    kernel_digest: str  # of its source
    by: str  # seconds | joules | cycles
    shapes: list[str]
    best: dict[str, Any]
    variants: list[VariantRow]


class StudyHeader(TypedDict):
    """What the tables of many points say of themselves. ``digests`` names the study, this build of emu, the instruction set, each chip."""

    schema_version: int
    emu_version: str
    kind: str  # study | comparison | search
    question: str
    chip: str  # names, joined by commas
    model: str
    hypothetical: bool  # whether any of the chips is
    digests: dict[str, str]
    fidelity: str
    stack: str
    seed: int
    fixed: dict[str, Any]  # settings that all points share
    set: dict[str, str]  # formulas of settings that follow from others
    where: list[str]  # conditions that points meet
    sample: int | None  # points drawn; null: all
    combinations: int  # before conditions and draw
    assumed: list[Assumed]  # each with its chip
    axes: list[str]  # settings in which points differ
    rows: list[dict[str, Any]]


class StudyDict(StudyHeader):
    """Rows: settings in SI, then an estimate's figures, those of a phase under its name (``decode_mbu``), or ``error``, ``error_kind``."""

    columns: list[str]


class ComparisonDict(StudyDict):
    """Rows as a study's, and ``tokens_per_s_per_chip``, ``tokens_per_joule``, ``..._per_usd``, ``..._per_mm2``; each ``_to_base``, too."""

    base: str
    not_told: list[str]  # what a description does not say, so that a figure is null


class SearchDict(StudyHeader):
    """Rows are trials: settings, objectives under their texts, ``feasible``, ``best``, or ``error``."""

    trials: int
    objectives: list[dict[str, Any]]  # text and whether it is maximized
    limits: list[str]
    base: str | None


class SensitivityRow(TypedDict, total=False):
    """Gains are elasticities: relative change of the result over that of the figure."""

    figure: str
    value: str
    tag: str | None
    step_fraction: float  # by how much it was changed
    frozen: dict[str, float]  # result -> gain, the mapping kept
    remapped: dict[str, float]  # the same, mapped anew
    new_mapping: bool
    error: str


class SensitivityDict(Header):
    model: str
    step_fraction: float  # as asked
    outputs: list[str]
    ordered_by: str
    rows: list[SensitivityRow]
    assumed: list[Assumed]


class RooflineRow(TypedDict):
    """An operation in a phase, or (``name`` null) the whole phase."""

    phase: str
    name: str | None
    kind: str | None
    format: str
    share: float
    seconds: float
    flops: float
    compulsory_bytes: float
    flops_per_byte: float | None  # null: all operands are on the chip
    flops_per_s: float
    bytes_per_s: float
    roof_flops_per_s: float
    roof_share: float | None  # above 1 where weights came while another operation ran
    bound_by: str


class RooflineDict(Header):
    model: str
    bandwidth_bytes_per_s: int
    peak_flops_per_s: dict[str, float]
    rows: list[RooflineRow]
    assumed: list[Assumed]
