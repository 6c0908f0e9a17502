"""How far is the gradient of old rollouts from the on-policy one, with and without correction?

`python benchmarks/staleness.py [--quick]` trains the embedded model for 8 steps, sampling and
updating in turn, and keeps the weights of every step. Then the same four prompts are sampled by the
weights of k steps before, and the gradient of these rollouts is taken at the last ones:

- `ignored`: as if they were fresh, a plain policy gradient (ratio 1, whatever the sampler said);
- `none`, `tis`, `mis`: with `correction=none`, `tis` and `mis`, at their defaults.

Each is compared with an on-policy gradient from other, many more rollouts. A batch is what a
default step has, 4 prompts with 8 completions each.

- `step_cosine`: cosine of the gradient of one batch to it; mean and standard error over batches.
  Bias and noise together: what an update sees.
- `mean_cosine`: cosine of the expected gradients, bias alone. The noise is taken out of the norms
  by products of different batches, so that it may come out above 1. Standard error by jackknife
  over the batches on both sides. Null where the noise leaves no norm.
- `norm_ratio`: length of the expected gradient over that of the on-policy one, likewise.
- `mismatch_kl`, `clip_share`, `capped_share`: as a run logs them, means over batches.

The default run in all but two things. The learning rate is four times the default: at the default
itself eight steps move the policy by 0.01 nats a token, and what bias that makes drowns in the
noise of so few batches. And the loss has no KL term, which no correction touches. Every k draws
with the same random numbers. `--quick` is k = 0 and 4 with few batches. The last line is the
report.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tersely.policy.allocator import keep_freed_memory
from tersely.policy.blas import load_fast_blas

load_fast_blas()
keep_freed_memory()

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402
from mlx.optimizers import AdamW  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402

from tersely.data.generated import GeneratedConfig  # noqa: E402
from tersely.data.prompts import PlainPrompt, make_prompts  # noqa: E402
from tersely.objective.advantages import ZScoreConfig  # noqa: E402
from tersely.objective.config import GrpoConfig  # noqa: E402
from tersely.objective.correction_config import (  # noqa: E402
    MisConfig,
    NoCorrection,
    TisConfig,
)
from tersely.objective.losses import Loss, LossInputs, LossParts  # noqa: E402
from tersely.policy.load import Policy, TinyModelConfig  # noqa: E402
from tersely.records import Batch, Group, Prompt  # noqa: E402
from tersely.rewards.length import LengthConfig  # noqa: E402
from tersely.rewards.mixture import Mixture  # noqa: E402
from tersely.rewards.rouge import RougeConfig  # noqa: E402
from tersely.rollout.local import LocalConfig  # noqa: E402
from tersely.rollout.sampler import Snapshot  # noqa: E402
from tersely.training.config import Precision, TrainerConfig  # noqa: E402
from tersely.training.order import PromptOrder  # noqa: E402
from tersely.training.precision import Weights  # noqa: E402
from tersely.training.update import Updater  # noqa: E402

SEED = 0
LEARNING_RATE, VERSION = 2e-4, 8
"""Of the training before, and its steps."""
PROMPTS, GROUP, MAX_TOKENS = 4, 8, 192
"""Of the default run."""
TRAINER = TrainerConfig(steps=1, prompts_per_step=PROMPTS, max_gradient_norm=1.0)
LOSS = GrpoConfig(beta=0.0)
AGES, BATCHES, REFERENCE = (0, 1, 2, 4, 8), 8, 16
QUICK_AGES, QUICK_BATCHES, QUICK_REFERENCE = (0, 4), 3, 4
SHARES = ("clip_share", "capped_share")


def ignoring(logprobs: mx.array, inputs: LossInputs) -> LossParts:
    """The loss of rollouts that are taken to be the policy's own."""
    told = METHODS["none"](logprobs, inputs)
    own = inputs._replace(sampler_logprobs=mx.stop_gradient(logprobs))
    return METHODS["none"](logprobs, own)._replace(mismatch_kl=told.mismatch_kl)


METHODS: dict[str, Loss] = {
    "ignored": ignoring,
    "none": LOSS.build(NoCorrection().build()),
    "tis": LOSS.build(TisConfig().build()),
    "mis": LOSS.build(MisConfig().build()),
}


class Caught(Weights):
    """Weights that stay where they are and keep the last gradient, `[N]`."""

    gradient: np.ndarray

    def step(self, gradient: Any) -> float:
        """Keep it."""
        self.gradient = np.concatenate([np.array(a).ravel() for _, a in tree_flatten(gradient)])
        return 0.0


class Study:
    """The policy, its rewards and its rollouts."""

    def __init__(self) -> None:
        self.policy: Policy = TinyModelConfig().build()
        posts = GeneratedConfig().build().train
        self._prompts = make_prompts(posts, self.policy.tokenizer, PlainPrompt(), "train")
        self._mixture = Mixture((LengthConfig().build(), *RougeConfig().quality()))
        self._advantages = ZScoreConfig().build()
        optimizer = AdamW(
            LEARNING_RATE,
            betas=[TRAINER.beta1, TRAINER.beta2],
            weight_decay=TRAINER.weight_decay,
            bias_correction=True,
        )
        self._weights = Weights(self.policy.model, optimizer, Precision.fp32, SEED)
        self.snapshots: list[Snapshot] = []
        self.rewards: list[float] = []

    def train(self) -> None:
        """Leaves the weights before each step and after the last in `snapshots`."""
        order = PromptOrder(self._prompts, PROMPTS, SEED)
        update = self._updater(LOSS.build(), self._weights, TRAINER)
        for step in range(VERSION):
            self.snapshots.append(Snapshot(self.policy.parameters(), step))
            (batch,) = self.batches(order(step), self.snapshots[-1], 1, step)
            update.step(batch, self._scored(batch, self.rewards))
        self.snapshots.append(Snapshot(self.policy.parameters(), VERSION))
        self.prompts = order(VERSION)

    def batches(
        self, prompts: Sequence[Prompt], snapshot: Snapshot, count: int, draw: int
    ) -> list[Batch]:
        """Independent batches of the same prompts; another `draw`, other completions."""
        config = LocalConfig(group_size=count * GROUP, max_tokens=MAX_TOKENS)
        many = config.build(self.policy, SEED).sample(prompts, snapshot, draw)
        parts = [slice(at * GROUP, (at + 1) * GROUP) for at in range(count)]
        return [
            Batch(draw, tuple(Group(group.prompt, group.rollouts[part]) for group in many))
            for part in parts
        ]

    def gradient(self, batch: Batch, loss: Loss) -> tuple[np.ndarray, dict[str, float]]:
        """`[N]`, at the last weights, and what is logged beside it."""
        caught = Caught(self.policy.model, AdamW(0.0), Precision.fp32, SEED)
        free = TrainerConfig(steps=1, prompts_per_step=PROMPTS, max_gradient_norm=1e9)
        made = self._updater(loss, caught, free).step(batch, self._scored(batch, []))
        return caught.gradient, made.metrics

    def _updater(self, loss: Loss, weights: Weights, trainer: TrainerConfig) -> Updater:
        return Updater(
            self.policy.model,
            None,
            loss,
            weights,
            aggregation=LOSS.aggregation,
            trainer=trainer,
            max_tokens=MAX_TOKENS,
            temperature=1.0,
        )

    def _scored(self, batch: Batch, rewards: list[float]) -> list[list[float]]:
        scores = [self._mixture.score(group).reward for group in batch.groups]
        rewards.append(statistics.fmean(reward for group in scores for reward in group))
        return [self._advantages(group) for group in scores]


class Products(NamedTuple):
    """Inner products of the gradients of B batches and of R on-policy ones."""

    own: np.ndarray
    """`[B, B]`"""
    cross: np.ndarray
    """`[B, R]`"""
    reference: np.ndarray
    """`[R, R]`"""

    def without(self, row: int) -> "Products":
        """Without one of the B."""
        own = np.delete(np.delete(self.own, row, axis=0), row, axis=1)
        return self._replace(own=own, cross=np.delete(self.cross, row, axis=0))

    def turned(self) -> "Products":
        """With both sides exchanged."""
        return Products(self.reference, self.cross.T, self.own)


def squared_norm(products: np.ndarray) -> float:
    """Of the expected gradient: products of different batches only, because the square of one has
    its noise in it; not a number where that leaves nothing."""
    count = len(products)
    squared = float(products.sum() - np.trace(products)) / (count * (count - 1))
    return squared if squared > 0 else math.nan


def mean_cosine(products: Products) -> float:
    """Of the expected gradients."""
    norms = squared_norm(products.own) * squared_norm(products.reference)
    return float(products.cross.mean()) / math.sqrt(norms)


def norm_ratio(products: Products) -> float:
    """Of the expected gradients."""
    return math.sqrt(squared_norm(products.own) / squared_norm(products.reference))


def jackknife(of: Callable[[Products], float], products: Products) -> list[float]:
    """An estimate and its standard error."""
    variance = 0.0
    for turn in (False, True):
        side = products.turned() if turn else products
        count = len(side.own)
        left = [side.without(row) for row in range(count)]
        values = [of(each.turned() if turn else each) for each in left]
        variance += (count - 1) * float(np.var(values))
    return [of(products), math.sqrt(variance)]


def compared(gradients: np.ndarray, reference: np.ndarray) -> dict[str, list[float | None]]:
    """`[B, N]` gradients against `[R, N]` on-policy ones."""
    products = Products(gradients @ gradients.T, gradients @ reference.T, reference @ reference.T)
    norms = np.sqrt(np.diag(products.own) * products.reference.mean())
    cosines = (products.cross.mean(axis=1) / norms).tolist()
    found = {
        "step_cosine": [statistics.fmean(cosines), statistics.stdev(cosines) / len(cosines) ** 0.5],
        "mean_cosine": jackknife(mean_cosine, products),
        "norm_ratio": jackknife(norm_ratio, products),
    }
    return {
        name: [None if math.isnan(number) else round(number, 3) for number in numbers]
        for name, numbers in found.items()
    }


def main() -> None:
    """Train, sample with older and older weights, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="k = 0 and 4, few batches")
    ages, count, of_reference = (
        (QUICK_AGES, QUICK_BATCHES, QUICK_REFERENCE)
        if parser.parse_args().quick
        else (AGES, BATCHES, REFERENCE)
    )
    began = time.perf_counter()
    study = Study()
    study.train()

    def gradients(batches: Sequence[Batch], method: str) -> tuple[np.ndarray, dict[str, float]]:
        each = [study.gradient(batch, METHODS[method]) for batch in batches]
        logged = {
            name: statistics.fmean(own[f"loss/{name}"] for _, own in each)
            for name in ("mismatch_kl", *SHARES)
        }
        return np.stack([gradient for gradient, _ in each]), logged

    fresh = study.batches(study.prompts, study.snapshots[VERSION], of_reference, VERSION)
    reference, _ = gradients(fresh, "none")
    by_age: dict[int, dict[str, Any]] = {}
    for age in ages:
        snapshot = study.snapshots[VERSION - age]
        batches = study.batches(study.prompts, snapshot, count, VERSION + 1)
        by_age[age] = {}
        # Fresh rollouts are the same to all of them.
        for method in METHODS if age else ("none",):
            own, logged = gradients(batches, method)
            by_age[age]["mismatch_kl"] = round(logged["mismatch_kl"], 5)
            shares = {name: round(logged[name], 4) for name in SHARES}
            by_age[age][method] = compared(own, reference) | shares
        print(json.dumps({"k": age} | by_age[age]), file=sys.stderr, flush=True)
    print(
        json.dumps(
            {
                "learning_rate": LEARNING_RATE,
                "version": VERSION,
                "rewards_before": [round(reward, 3) for reward in study.rewards],
                "batches": count,
                "reference_batches": of_reference,
                "seconds": round(time.perf_counter() - began, 1),
                "by_age": by_age,
            }
        )
    )


if __name__ == "__main__":
    main()
