"""The result the README shows: runs `emu estimate llama-3-8b --chip jalapeno`, draws it, and quotes the head of its table.

    pip install -e '.[plots]' && python benchmarks/readme_result.py

Writes docs/img/llama-3-8b-jalapeno.svg and the block `result` of README.md."""

from typing import Any

from blocks import ROOT, replace

import emu

COLOURS = {"compute": "#c0504d", "hbm": "#1f5fa8", "none": "#777777"}
MEANING = {"compute": "matrix engine at its peak", "hbm": "device memory at its peak"}
REST = "#d5d8dc"


def draw(result: dict[str, Any], path: str) -> None:
    """Per phase one bar for each kind of operation: its lower bound, coloured by what binds, then the time above it."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "emu", "font.size": 9, "font.family": "sans-serif", "svg.fonttype": "none"})
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    steps = {"prefill": 1, "decode": result["generate"] - 1}
    titles = {
        "prefill": f"prefill of {result['prompt']} tokens: {result['ttft_s'] * 1e3:.2f} ms to the first token",
        "decode": f"decode: {result['tpot_s'] * 1e3:.2f} ms per output token",
    }
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.3))
    for axis, (phase, passes) in zip(axes, steps.items(), strict=True):
        whole = result["phases"][phase]
        panel(axis, [*whole["ops"], {**whole, "name": "whole pass", "largest_stall": None}], passes)
        axis.set_title(titles[phase], fontsize=10)
        axis.set_xlabel("microseconds, all layers")
    marks = [Patch(color=COLOURS[by], label=f"lower bound: {text}") for by, text in MEANING.items()]
    marks.append(Patch(color=REST, label="above the bound, with the largest wait"))
    figure.legend(handles=marks, loc="lower center", ncol=3, frameon=False)
    about = f"{result['model']} in {result['dtype']}, batch {result['batch']}, on {result['chip']}"
    figure.suptitle(f"{about}, a hypothetical chip", fontsize=11)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, metadata={"Date": None})


def panel(axis: Any, rows: list[dict[str, Any]], passes: int) -> None:
    for y, row in enumerate(rows):
        seconds, bound = (row[key] / passes * 1e6 for key in ("seconds", "bound_s"))
        axis.barh(y, bound, color=COLOURS[row["bound_by"]])
        axis.barh(y, seconds - bound, left=bound, color=REST)
        wait = f"{row['largest_stall']} {row['largest_stall_share']:.0%}".replace("_", " ") if row["largest_stall"] else ""
        remark = wait if y < len(rows) - 1 else f"{seconds / bound:.2f} x its bound"
        axis.text(seconds, y, "  " + remark, va="center", fontsize=7, color="#444444")
    axis.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axis.invert_yaxis()
    axis.set_xlim(0, max(row["seconds"] for row in rows) / passes * 1e6 * 1.3)
    axis.spines[["top", "right"]].set_visible(False)


def main() -> None:
    estimate = emu.estimate("llama-3-8b", "jalapeno")
    picture = "docs/img/llama-3-8b-jalapeno.svg"
    draw(estimate.to_dict(), str(ROOT / picture))
    head = str(estimate).split("\nprefill\n")[0].rstrip()
    text = f"```\n$ emu estimate llama-3-8b --chip jalapeno\n{head}\n```\n![Time per operation, its lower bound and what binds]({picture})"
    replace(ROOT / "README.md", "result", text)


if __name__ == "__main__":
    main()
