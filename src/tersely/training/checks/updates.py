"""Checks of what the updates do to the weights."""

from typing import ClassVar

from tersely.training.checks.seen import Recent, Seen
from tersely.training.config import Precision

SAME_RATIO = 1e-6
"""A mean ratio this near to 1 is 1 but for the order of float32 sums (measured: 4e-7 of fresh
rollouts). Of rollouts one update old it is some 1e-4 away at a learning rate of 5e-5 and still
some 5e-6 at 2e-6."""
SAME_KL = 1e-9
"""nats a token: below it, sampler and policy are the same to float32 (measured of fresh rollouts:
0; one update old, at a learning rate of 5e-5: 1e-4, at 2e-6: 1.5e-7)."""
TELLING_RATE = 1e-6
"""Learning rates below this may move the policy by less than float32 tells."""
FEW_CHANGED = {
    Precision.fp32: 0.1,
    Precision.bf16: 0.5,
    Precision.bf16_master: 0.0,
    Precision.bf16_stochastic: 0.0,
}
"""Share of weights changed by an update, at most, that is too small. In float32 nearly all change;
rows of an embedding that no token asks for do not. Rounded to nearest, what does not change is
lost, and half is much. With masters or rounding by chance nothing is lost however few change at
once (0.6 % at the study's learning rate): only none at all is too few."""
NEAR_PEAK = 0.1
"""Share of the peak from which on the learning rate counts: during a warm-up and at the end of a
decay next to no change is what was asked for."""


class RatioConstant(Recent):
    """The ratio is 1 although older weights sampled: nothing is clipped or corrected.

    What the study did: it took the log-probabilities of its own weights for the sampler's.
    """

    name: ClassVar[str] = "ratio_constant"

    def look(self, seen: Seen) -> str | None:
        metrics = seen.metrics
        if "loss/ratio_mean" not in metrics:
            return None
        moved = (
            metrics["update/changed_share"] > 0
            and metrics["update/learning_rate"] >= TELLING_RATE
            and metrics["rollout/staleness"] > 0
        )
        if not moved:
            return None
        same = (
            abs(metrics["loss/ratio_mean"] - 1) < SAME_RATIO
            and abs(metrics["loss/mismatch_kl"]) < SAME_KL
        )
        if not (self.remember(same) and all(self.recent)):
            return None
        return (
            f"over {self.window} steps whose completions older weights had sampled, policy and "
            "sampler gave every token the same probability: the ratio was 1, so that clip and "
            "correction did nothing, and the gradient is biased without a sign of it. Either the "
            "sampler reports log-probabilities of other weights than those that drew, or the "
            "versions of its rollouts are wrong; rollout.max_staleness=0 avoids old rollouts"
        )


class FewChanges(Recent):
    """Updates leave the stored weights as they were."""

    name: ClassVar[str] = "few_changes"

    def look(self, seen: Seen) -> str | None:
        metrics = seen.metrics
        if "update/changed_share" not in metrics:
            return None
        if metrics["update/learning_rate"] < NEAR_PEAK * self.setting.learning_rate:
            return None
        # Without any reward spread there is nothing to learn, which `NoSpread` says.
        if metrics["reward/zero_std_share"] == 1 or metrics["update/gradient_norm"] == 0:
            return None
        full = self.remember(metrics["update/changed_share"])
        precision = self.setting.precision
        if not full or self.mean() > FEW_CHANGED[precision]:
            return None
        why = {
            Precision.fp32: (
                "in float32 nearly every weight should change: set a higher trainer.learning_rate, "
                "or see which weights have no gradient"
            ),
            Precision.bf16: (
                "the rest is rounded away, and with it most of what is learned: set "
                "trainer.precision=bf16_stochastic, which takes no more memory, or fp32"
            ),
        }.get(precision, "nothing can be learned: set a higher trainer.learning_rate")
        return (
            f"over the last {self.window} steps an update changed {self.mean():.1%} of the "
            f"weights as {precision.name} stores them; {why}"
        )


class GradientClipped(Recent):
    """Every gradient is scaled down, so that the clip and no longer the gradient decides."""

    name: ClassVar[str] = "gradient_clipped"
    window: ClassVar[int] = 20
    """Steps: gradients are large now and then, and at the beginning."""

    def look(self, seen: Seen) -> str | None:
        if "update/clipped_share" not in seen.metrics:
            return None
        norm, share = seen.metrics["update/gradient_norm"], seen.metrics["update/clipped_share"]
        if share < 1:  # of several updates a step, the norm is their mean and tells nothing
            self.recent = []
            return None
        if not self.remember(norm):
            return None
        return (
            f"the gradient was clipped at each update of the last {self.window} steps: its norm "
            f"was {min(self.recent):.3g} to {max(self.recent):.3g}, and trainer.max_gradient_norm "
            f"is {self.setting.max_gradient_norm:g}. Batches that have much to teach then count no "
            "more than those that have little; set trainer.max_gradient_norm above the usual "
            "norm, so that it catches outliers"
        )
