"""The gradient of one group, this engine against the plain computation, in one process.

Plain means: every completion is a row with the whole prompt in front, logits and softmax at all
positions, as the study and its peers compute. Both get the same random weights and tokens, GRPO
without a KL term; the two take turns on the clock. float32.

Prints a line a case on stderr and one JSON object on stdout. `--quick` is the main case of the
small shape; without it that shape at other prompts and groups, and the shapes of Qwen2.5-0.5B and
LFM2-350M, which take half an hour and 16 GB.

- `time_ratio`, `memory_ratio`: plain over engine. Working memory is the peak of MLX's arrays above
  weights and one gradient; `*_peak_gb` is the peak with them. At the large shapes the plain group
  does not fit: it is timed a few rows at a time, and its memory is a straight line through that
  of one row and of two.
- `gradient_error`: Euclidean distance of the two gradients over the norm of the plain one;
  `worst_leaf_error` the same of the worst array.
- `mfu`: floating-point operations that the gradient needs (three times those of one forward pass
  over the prompt, once, and the completions; the LM head at completions only) over time, over the
  rate of a float32 product in the same process.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tersely.policy.allocator import keep_freed_memory
from tersely.policy.blas import load_fast_blas

load_fast_blas()
keep_freed_memory()

import mlx.core as mx  # noqa: E402
import mlx.nn as nn  # noqa: E402
from mlx.utils import tree_flatten, tree_map  # noqa: E402
from mlx_lm.models import lfm2, qwen2  # noqa: E402

from tersely.objective.config import GrpoConfig  # noqa: E402
from tersely.objective.losses import LossInputs  # noqa: E402
from tersely.policy.cpu_functions import REPLACEMENTS, use_cpu_functions  # noqa: E402
from tersely.policy.logprobs import Scorer, completion_mask  # noqa: E402
from tersely.training.chunks import Plan, plans  # noqa: E402
from tersely.training.gradient import GroupTokens, group_gradient  # noqa: E402


class Case(NamedTuple):
    """What is computed."""

    shape: str
    prompt: int
    group: int
    completion: int
    plain_rows: int | None = None
    """Rows of the plain computation in memory at once; None is the whole group."""
    rollouts_per_chunk: int | None = None
    checkpoint: bool = False

    @property
    def name(self) -> str:
        """For the report."""
        chunk = f", {self.rollouts_per_chunk} a chunk" if self.rollouts_per_chunk else ""
        layers = ", layers checkpointed" if self.checkpoint else ""
        return f"{self.shape}, {self.prompt} + {self.group} x {self.completion}{chunk}{layers}"


MAIN = Case("small", 300, 8, 64)
CASES = [
    MAIN,
    MAIN._replace(rollouts_per_chunk=4),
    MAIN._replace(rollouts_per_chunk=1, checkpoint=True),
    *(MAIN._replace(prompt=prompt) for prompt in (100, 600)),
    *(MAIN._replace(group=group) for group in (4, 16)),
    Case("qwen2.5-0.5b", 300, 8, 64, plain_rows=2),
    Case("lfm2-350m", 300, 8, 64, plain_rows=2),
]


def qwen(hidden: int, layers: int, inner: int, heads: int, kv_heads: int, words: int) -> nn.Module:
    """A Qwen2 with tied embeddings."""
    return qwen2.Model(
        qwen2.ModelArgs(
            model_type="qwen2",
            hidden_size=hidden,
            num_hidden_layers=layers,
            intermediate_size=inner,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            rms_norm_eps=1e-6,
            vocab_size=words,
        )
    )


def lfm() -> nn.Module:
    """LFM2-350M: 16 layers, six of them attention, the others short convolutions."""
    return lfm2.Model(
        lfm2.ModelArgs(
            model_type="lfm2",
            vocab_size=65536,
            hidden_size=1024,
            num_hidden_layers=16,
            num_attention_heads=16,
            num_key_value_heads=8,
            max_position_embeddings=128000,
            norm_eps=1e-5,
            conv_bias=False,
            conv_L_cache=3,
            block_dim=1024,
            block_ff_dim=6656,
            block_multiple_of=256,
            block_ffn_dim_multiplier=1.0,
            block_auto_adjust_ff_dim=True,
            full_attn_idxs=[2, 5, 8, 10, 12, 14],
            rope_theta=1e6,
        )
    )


SHAPES: dict[str, Callable[[], nn.Module]] = {
    "small": lambda: qwen(256, 4, 1024, 4, 2, 8192),
    "qwen2.5-0.5b": lambda: qwen(896, 24, 4864, 14, 2, 151936),
    "lfm2-350m": lfm,
}


def make_model(shape: str) -> nn.Module:
    """Random weights with the spread of a pretrained model, so that gradients are ordinary."""
    mx.random.seed(7)
    model = SHAPES[shape]()
    model.update(
        tree_map(
            lambda array: array if array.ndim == 1 else 0.02 * mx.random.normal(array.shape),
            model.parameters(),
        )
    )
    mx.eval(model.parameters())
    use_cpu_functions(model)
    return model


@contextmanager
def mlx_lm_functions(model: nn.Module) -> Iterator[None]:
    """Within it, the model's layers call mlx-lm's own functions: the plain computation is what
    it would be without this project."""
    module = sys.modules[type(model).__module__]
    present = dict(vars(module))
    for original, _ in REPLACEMENTS:
        if original.__name__ in present:
            setattr(module, original.__name__, original)
    try:
        yield
    finally:
        for original, _ in REPLACEMENTS:
            if original.__name__ in present:
                setattr(module, original.__name__, present[original.__name__])


class Engines:
    """Both computations of one case."""

    def __init__(self, model: nn.Module, case: Case) -> None:
        self.model, self.case = model, case
        draw = mx.random.randint(
            0, model.args.vocab_size, (case.prompt + case.group * case.completion,)
        )
        tokens: Any = draw.tolist()
        self.prompt = tokens[: case.prompt]
        self.completions = [
            tokens[at : at + case.completion]
            for at in range(case.prompt, len(tokens), case.completion)
        ]
        self.scorer = Scorer(model)
        self.loss = GrpoConfig(beta=0.0).build()
        self.inputs = self._inputs()

    def _inputs(self) -> LossInputs:
        """Fresh rollouts: the sampler's log-probabilities are the policy's."""
        group, length = self.case.group, self.case.completion
        state = self.scorer.state_of(self.prompt)
        sampler = self.scorer.score(self.prompt, state, self.completions, length).logprobs
        inputs = LossInputs(
            proximal_logprobs=sampler,
            sampler_logprobs=sampler,
            reference_logprobs=None,
            advantages=mx.random.normal((group,)),
            mask=completion_mask(self.completions, length),
            weights=mx.full((group,), 1 / (group * length)),
            token_share=1 / (group * length),
        )
        mx.eval(inputs)
        return inputs

    def plan(self) -> Plan:
        """The case's own, or everything at once."""
        lengths = [self.case.completion] * self.case.group
        return next(plans(lengths, self.case.rollouts_per_chunk, self.case.checkpoint))

    def engine(self) -> Any:
        """This project's gradient."""
        tokens = GroupTokens(self.prompt, self.completions, self.inputs)
        return group_gradient(self.scorer, self.loss, tokens, self.plan()).gradient

    def plain(self) -> Any:
        """The gradient without saving anything."""
        rows = self.case.plain_rows or self.case.group
        total = None
        for first in range(0, self.case.group, rows):
            own = self.plain_rows(range(first, first + rows))
            total = own if total is None else tree_map(mx.add, total, own)
            mx.eval(total)
            del own
        return total

    def plain_rows(self, rows: Iterable[int]) -> Any:
        """The share of some completions."""
        with mlx_lm_functions(self.model):
            return nn.value_and_grad(self.model, self._plain_loss)(list(rows))[1]

    def _plain_loss(self, rows: list[int]) -> mx.array:
        tokens = mx.array([[*self.prompt, *self.completions[row]] for row in rows])
        logprobs = nn.log_softmax(self.model(tokens[:, :-1]), axis=-1)
        chosen = mx.take_along_axis(logprobs, tokens[:, 1:, None], axis=-1).squeeze(-1)
        inputs = self.inputs.take(rows, self.case.completion)
        return self.loss(chosen[:, self.case.prompt - 1 :], inputs).total


class Measured(NamedTuple):
    """One call."""

    seconds: float
    working_gb: float
    gradient: Any


def measured(compute: Callable[[], Any]) -> Measured:
    """Call it."""
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    began = time.perf_counter()
    gradient = compute()
    mx.eval(gradient)
    seconds = time.perf_counter() - began
    own = sum(array.nbytes for _, array in tree_flatten(gradient))
    return Measured(seconds, (mx.get_peak_memory() - before - own) / 1e9, gradient)


def forward_flops(model: nn.Module, case: Case) -> float:
    """Multiplications and additions of one pass that shares the prompt."""
    trunk = sum(
        array.size
        for layer in model.layers
        for name, array in tree_flatten(layer.parameters())
        if array.ndim >= 2
    )
    head = model.model.embed_tokens.weight.size
    completions = case.group * case.completion
    positions = case.prompt + completions
    # Scores and their product with the values; a completion sees its prompt and half of itself.
    seen = case.prompt**2 / 2 + completions * (case.prompt + case.completion / 2)
    args = model.args
    width = args.hidden_size
    attending = sum(hasattr(layer, "self_attn") for layer in model.layers)
    return 2 * trunk * positions + 2 * head * completions + 4 * width * attending * seen


def product_rate(size: int = 2048) -> float:
    """Floating-point operations a second of a float32 product, the best of several."""
    one, other = mx.random.normal((size, size)), mx.random.normal((size, size))
    mx.eval(one, other)
    best = 0.0
    for _ in range(8):
        began = time.perf_counter()
        mx.eval(one @ other)
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def errors(gradient: Any, plain: Any) -> tuple[float, float]:
    """Relative distance of all and of the worst leaf."""
    squares = [
        # Axis by axis, because a long float32 sum loses what comes late.
        (((one - other) ** 2).sum(-1).sum().item(), (other**2).sum(-1).sum().item())
        for (_, one), (_, other) in zip(tree_flatten(gradient), tree_flatten(plain), strict=True)
    ]
    norm = sum(own for _, own in squares)
    # A leaf without a gradient to speak of (the bias of keys has none) is held to the whole.
    worst = max(off / max(own, 1e-8 * norm) for off, own in squares)
    return (sum(off for off, _ in squares) / norm) ** 0.5, worst**0.5


def compare(case: Case, model: nn.Module, repeats: int) -> dict[str, Any]:
    """Measure one case."""
    engines = Engines(model, case)
    weights = sum(array.nbytes for _, array in tree_flatten(model.parameters()))
    standing = 2 * weights / 1e9
    pairs = list(_pairs(engines, repeats))
    rate = product_rate()
    seconds = statistics.median(engine.seconds for engine, _ in pairs)
    last, last_plain = pairs[-1]
    plain_working = last_plain.working_gb
    if case.plain_rows is not None:
        plain_working = working_of_group(engines)
    error, worst = errors(last.gradient, last_plain.gradient)
    row = {
        "case": case.name,
        "time_ratio": round(statistics.median(p.seconds / e.seconds for e, p in pairs), 2),
        "memory_ratio": round(plain_working / last.working_gb, 2),
        "gradient_error": float(f"{error:.1e}"),
        "worst_leaf_error": float(f"{worst:.1e}"),
        "mfu": round(3 * forward_flops(model, case) / seconds / rate, 2),
        "seconds": round(seconds, 3),
        "plain_seconds": round(statistics.median(plain.seconds for _, plain in pairs), 3),
        "working_gb": round(last.working_gb, 3),
        "plain_working_gb": round(plain_working, 3),
        "peak_gb": round(last.working_gb + standing, 3),
        "plain_peak_gb": round(plain_working + standing, 3),
        "plain_timed_rows_at_once": case.plain_rows or case.group,
        "product_gflops": round(rate / 1e9),
    }
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def working_of_group(engines: Engines) -> float:
    """GB that the plain computation would need for the whole group at once, by a straight line
    through one row and two."""
    one, two = (
        measured(lambda rows=rows: engines.plain_rows(range(rows))).working_gb for rows in (1, 2)
    )
    return one + (engines.case.group - 1) * (two - one)


def _pairs(engines: Engines, repeats: int) -> Iterator[tuple[Measured, Measured]]:
    measured(engines.engine)  # what is met or compiled for the first time
    for repeat in range(repeats):
        engine = measured(engines.engine)
        if repeat < repeats - 1:
            engine = engine._replace(gradient=None)
        plain = measured(engines.plain)
        if repeat < repeats - 1:
            plain = plain._replace(gradient=None)
        yield engine, plain


def main() -> None:
    """Measure every case, or the main one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the main case of the small shape")
    parser.add_argument("--shape", choices=SHAPES, help="only the cases of this shape")
    chosen = parser.parse_args()
    cases = [MAIN] if chosen.quick else [c for c in CASES if chosen.shape in (None, c.shape)]
    rows, model, made = [], None, None
    for case in cases:
        if case.shape != made:
            model, made = None, case.shape
            model = make_model(case.shape)
        rows.append(compare(case, model, repeats=5 if case.shape == "small" else 1))
    main_row = rows[0]
    keys = ("time_ratio", "memory_ratio", "gradient_error", "mfu")
    print(
        json.dumps(
            {key: main_row[key] for key in keys}
            | {
                "case": main_row["case"],
                "cases": rows,
                "processors": len(os.sched_getaffinity(0)),
                "load_average": os.getloadavg()[0],
            }
        )
    )


if __name__ == "__main__":
    main()
