"""Step 8. A mixture of experts: every token through all experts, or only through the two that its router chose.

    python examples/ladder/s8_moe.py [chip]
"""

import sys

import numpy as np
from moe import combine, dense, routed
from report import show

TOKENS, DIM, EXPERTS = 192, 64, 8


def main(chip="tiny"):
    draw = np.random.default_rng(0)
    x, w = draw.standard_normal((TOKENS, DIM)).astype("f4"), draw.standard_normal((EXPERTS, DIM, DIM)).astype("f4") / 8
    scores = draw.standard_normal((TOKENS, EXPERTS))
    chosen = np.argsort(-scores)[:, :2]  # the router's choice is an input: values never decide what a machine does
    gate = np.zeros((TOKENS, EXPERTS), "f4")
    shares = np.exp(np.take_along_axis(scores, chosen, 1))
    np.put_along_axis(gate, chosen, (shares / shares.sum(1, keepdims=True)).astype("f4"), 1)
    want = np.einsum("te,td,edf->tf", gate, x, w)
    given, out = {"x": (x, "bf16"), "w": (w, "bf16", "weight")}, ((TOKENS, DIM), "bf16", "out")
    whole = show("all experts", dense.run(chip, **given, gate=(gate, "fp32"), y=out, tile=16), want)

    places = [(e, t) for e in range(EXPERTS) for t in np.nonzero(gate[:, e])[0]]  # by expert, as they lie in `parts`
    counts = [int((gate[:, e] > 0).sum()) for e in range(EXPERTS)]
    token, share = np.array([t for _, t in places], "i4"), np.array([[gate[t, e]] for e, t in places])
    parts = ((len(places), DIM), "bf16", "out")
    lists = {"token": (token, "int32", "index"), "gate": (share, "fp32"), "counts": counts}
    alone = share * np.einsum("sd,sdf->sf", x[token], w[[e for e, _ in places]])
    one = show("two of them: products", routed.run(chip, **given, **lists, parts=parts, tile=16), alone, "parts")
    of = np.array([[s for s, (_, t) in enumerate(places) if t == token_][:2] for token_ in range(TOKENS)], "i4").T.copy()
    two = show("and their sums", combine.run(chip, parts=one.outputs["parts"], places=(of, "int32", "index"), y=out, tile=16), want)
    print(f"{'saved':24s} {whole.cycles - one.cycles - two.cycles:9,d} cycles")


if __name__ == "__main__":
    main(*sys.argv[1:])
