"""emu estimate, emu infer, emu op: how fast, how much energy, and why."""

from pathlib import Path
from typing import Annotated

import typer

from emu.cli import options
from emu.cli.collectives import add_to as add_collectives
from emu.cli.costs import costs
from emu.cli.output import format_of, note, progress, show


def estimate(
    model: options.Model,
    chip: options.Chip,
    batch: options.Batch = 1,
    prompt: Annotated[int, typer.Option(min=1, help="Tokens of prompt.")] = 512,
    generate: Annotated[int, typer.Option(min=1, help="Tokens to generate.")] = 128,
    dtype: options.DType = "bf16",
    kv_dtype: options.KvDType = None,
    scales: options.Scales = None,
    fidelity: options.Fidelity = "fast",
    stack: options.Stack = "bare",
    seed: Annotated[int, typer.Option(min=0, help="Of everything drawn at random.")] = 0,
    data: options.Data = "normal",
    clock: options.Clock = None,
    no_cap: options.NoCap = False,
    regime: options.Regime = "steady",
    json: options.Json = False,
    format: options.Format = "text",
    trace: options.Trace = None,
    no_cache: options.NoCache = False,
    no_folding: options.NoFolding = False,
    no_fast_forward: options.NoForward = False,
    quiet: options.Quiet = False,
) -> None:
    """Time, energy and bottlenecks of a transformer on a chip."""
    import emu
    from emu import study
    from emu.cli.files import will_write
    from emu.cli.names import chip_of, clock_of

    format_of(format)
    will_write(trace, "--trace")
    with costs(no_cache, no_folding, no_fast_forward), progress(quiet, f"{model} on {chip}") as report:
        result = study.estimate(
            emu.model(model), chip_of(chip), batch=batch, prompt=prompt, generate=generate, dtype=dtype, kv_dtype=kv_dtype,
            scales=scales, fidelity=fidelity, stack=stack, seed=seed, data=data, clock=clock_of(clock, no_cap), regime=regime,
            progress=report,
        )
        if trace is not None:
            result.trace(trace)
    show(result.to_dict(), json, format)
    if trace is not None:
        note(f"timeline written to {trace}; open it at https://ui.perfetto.dev", quiet)


def infer(
    model: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with config.json, model.safetensors and tokenizer.json.")],
    chip: options.Chip,
    text: Annotated[str, typer.Option(help="The sentence to embed.")],
    dtype: Annotated[str, typer.Option(help="Format, several (bf16,fp8,mxfp4) or all the chip has: a table of them.")] = "bf16",
    scales: Annotated[str, typer.Option(help="Of activations: dynamic, for each token, or static, by calibration.")] = "dynamic",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Embed a sentence with real weights on the emulated chip."""
    from emu import study
    from emu.cli.names import chip_of

    with progress(quiet, f"{model} on {chip}") as report:
        if dtype == "all" or "," in dtype:
            several = None if dtype == "all" else [name.strip() for name in dtype.split(",")]
            table = study.infer_formats(model, chip_of(chip), text, several, scales=scales, progress=report)
            shown = table.to_dict()
        else:
            shown = study.infer(model, chip_of(chip), text, dtype=dtype, scales=scales).to_dict()
    show(shown, json)


op = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="One operation by itself: gemm, attention, or a collective.")
add_collectives(op)


@op.command()
def gemm(
    chip: options.Chip,
    m: Annotated[int, typer.Option("--m", min=1, help="Rows of a and of the result.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Columns of b and of the result.")],
    k: Annotated[int, typer.Option("--k", min=1, help="Columns of a, rows of b.")],
    dtype: options.DType = "bf16",
    fidelity: options.Fidelity = "fast",
    stack: options.Stack = "bare",
    data: options.Data = "normal",
    clock: options.Clock = None,
    no_cap: options.NoCap = False,
    regime: options.Regime = "steady",
    operands: options.Operands = "cold",
    json: options.Json = False,
    format: options.Format = "text",
    no_cache: options.NoCache = False,
    no_folding: options.NoFolding = False,
    no_fast_forward: options.NoForward = False,
    quiet: options.Quiet = False,
) -> None:
    """A matrix product [m, k] @ [k, n]."""
    from emu import study
    from emu.cli.names import chip_of, clock_of

    format_of(format)
    with costs(no_cache, no_folding, no_fast_forward), progress(quiet, f"gemm {m} x {n} x {k} on {chip}"):
        result = study.gemm(
            chip_of(chip), m, n, k, dtype=dtype, stack=stack, fidelity=fidelity, data=data, clock=clock_of(clock, no_cap),
            regime=regime, operands=operands,
        )  # fmt: skip
    show(result.to_dict(), json, format)


@op.command()
def attention(
    chip: options.Chip,
    phase: Annotated[str, typer.Option(help="prefill or decode.")],
    q_heads: Annotated[int, typer.Option(min=1, help="Query heads.")],
    head_dim: Annotated[int, typer.Option(min=1, help="Elements of one head.")],
    kv_len: Annotated[int, typer.Option(min=1, help="Keys and values attended to.")],
    batch: options.Batch = 1,
    kv_heads: Annotated[int | None, typer.Option(min=1, help="Heads of keys and values; as --q-heads if left out.")] = None,
    q_len: Annotated[int | None, typer.Option(min=1, help="Queries; --kv-len in prefill, 1 in decode, if left out.")] = None,
    dtype: options.DType = "bf16",
    kv_dtype: options.KvDType = None,
    fidelity: options.Fidelity = "fast",
    stack: options.Stack = "bare",
    data: options.Data = "normal",
    clock: options.Clock = None,
    no_cap: options.NoCap = False,
    regime: options.Regime = "steady",
    operands: options.Operands = "cold",
    json: options.Json = False,
    format: options.Format = "text",
    no_cache: options.NoCache = False,
    no_folding: options.NoFolding = False,
    no_fast_forward: options.NoForward = False,
    quiet: options.Quiet = False,
) -> None:
    """Attention of one layer over a KV cache (decode) or a prompt (prefill)."""
    from emu import study
    from emu.cli.names import chip_of, clock_of

    format_of(format)
    with costs(no_cache, no_folding, no_fast_forward), progress(quiet, f"attention {phase} on {chip}"):
        result = study.attention(
            chip_of(chip), phase=phase, batch=batch, q_heads=q_heads, kv_heads=kv_heads or q_heads, head_dim=head_dim,
            q_len=q_len or (kv_len if phase == "prefill" else 1), kv_len=kv_len, dtype=dtype, kv_dtype=kv_dtype, stack=stack,
            fidelity=fidelity, data=data, clock=clock_of(clock, no_cap), regime=regime, operands=operands,
        )
    show(result.to_dict(), json, format)
