"""Checks of who sampled: whether sampler and trainer speak of the same model."""

from collections.abc import Mapping
from statistics import median
from typing import Any, ClassVar

from tersely.training.checks.seen import Recent, Seen, Setting

FRESH_KL = 0.02
"""nats a token between a sampler and a policy of the same weights. Their log-probabilities then
differ by 0.2, root mean square (KL = 0.2^2 / 2): what TRL's issue 5312 saw of a server that had
kept its old weights, where the right ones were 0.015 apart. bfloat16 makes about 0.01."""
EARLIEST = 10
"""Updates after which the first weights of a stage can be told from recent ones."""
MANY_TIMES = 4
"""How many times the staleness of the rollouts the policy must have been updated: recent weights
are then about a sixteenth as far away as the first ones, in KL."""
NEAR = (0.5, 2.0)
"""Bounds of mismatch / KL to the reference between which the sampler looks like the reference.
Both are plain means over tokens; of the same weights they differ in the third order."""
SEEN_KL = 1e-3
"""nats a token: the KL to the reference from which on it is more than noise."""
GROWN = 25
"""Times that the mismatch has grown, where there is no reference: five times the distance. What a
longer staleness does by itself, the median of the first ones takes up."""
FULL_RATE = 0.5
"""Share of the peak learning rate from which on steps are compared. The mismatch grows with its
square: from a warm-up's first steps to its last a hundredfold, from here on fourfold."""


class SamplerDisagrees(Recent):
    """Of the same weights, the sampler has other log-probabilities than the trainer.

    The estimate is exponential, and one odd token can decide the mean of a step. So the first of
    a row of steps must be fresh, and the others too far off as well, fresh or not: what differs
    at all goes on to, while a single update moves the policy by a hundredth of it.
    """

    name: ClassVar[str] = "sampler_disagrees"
    window: ClassVar[int] = 3
    """Steps in a row."""

    def look(self, seen: Seen) -> str | None:
        # With several updates a step the mismatch is a mean over them, and not all were fresh.
        if self.setting.updates_per_step > 1 or "loss/mismatch_kl" not in seen.metrics:
            return None
        mismatch = seen.metrics["loss/mismatch_kl"]
        if mismatch <= FRESH_KL or not (self.recent or seen.fresh):
            self.recent = []
            return None
        if not self.remember(mismatch):
            return None
        return (
            "completions come from the weights that they are learned with, yet sampler and trainer "
            f"are {min(self.recent):.3g} nats a token apart or more, at {self.window} steps in a "
            f"row; rounding alone makes less than {FRESH_KL}. They differ in temperature, "
            "tokenizer, weights or precision, "
            "so every ratio is off; set the same ones on both sides, and rollout=local shows what "
            "the trainer's own sampler gives"
        )


class SyncNotTaken(Recent):
    """The sampler goes on with older weights than its rollouts say.

    Where it refuses or reports them, that is an error already (`SyncNotApplied`); this is about
    what the trainer can see by itself. An unchanged sampler stays at the first weights of the
    stage, which the reference has too: its distance from the policy is then the reference's.
    """

    name: ClassVar[str] = "sync_not_taken"
    window: ClassVar[int] = 5
    """Steps in a row that must look so."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._noise = 0.0
        """The mismatch at the first step, when all have the same weights."""
        self._first: list[float] = []
        """The mismatches that later ones are held against, where there is no reference."""

    def look(self, seen: Seen) -> str | None:
        oldest = min(rollout.policy_version for rollout in seen.rollouts)
        behind = seen.version - oldest
        if behind > self.setting.max_staleness:
            return (
                f"a completion of this step was sampled {behind} updates ago, and "
                f"rollout.max_staleness={self.setting.max_staleness} allows no more than that: a "
                "sampler has not got its new weights. See the worker's log, or set rollout.sync "
                "to another way"
            )
        metrics = seen.metrics
        if "loss/mismatch_kl" not in metrics:
            return None
        mismatch, to_reference = metrics["loss/mismatch_kl"], metrics["loss/reference_kl"]
        if seen.version == 0:
            self._noise = mismatch
        if seen.version < max(EARLIEST, MANY_TIMES * behind) or not oldest:
            return None
        if metrics["update/learning_rate"] < FULL_RATE * self.setting.learning_rate:
            return None
        if seen.reference is None:
            return self._grown(mismatch)
        return self._like_reference(mismatch, to_reference)

    def _like_reference(self, mismatch: float, to_reference: float) -> str | None:
        seen = to_reference > max(SEEN_KL, 10 * self._noise)
        like = seen and NEAR[0] < mismatch / to_reference < NEAR[1]
        if not (self.remember(like) and all(self.recent)):
            return None
        return (
            f"the sampler is as far from the policy ({mismatch:.3g} nats a token) as the weights "
            f"that the stage began with ({to_reference:.3g}), at {self.window} steps in a row: it "
            f"still samples with those, whatever version it names. {_WHAT_TO_DO}"
        )

    def _grown(self, mismatch: float) -> str | None:
        if len(self._first) < self.window:
            self._first = [*self._first, mismatch]
            return None
        first = median(self._first)
        grown = mismatch > FRESH_KL and mismatch > GROWN * first
        if not (self.remember(grown) and all(self.recent)):
            return None
        return (
            f"sampler and policy are {mismatch:.3g} nats a token apart and were {first:.3g} "
            "early in the stage, at the same staleness and learning rate: the sampler "
            "stays behind, whatever version it names, or updates have become far too large. "
            f"{_WHAT_TO_DO}"
        )

    def state(self) -> dict[str, Any]:
        return {**super().state(), "noise": self._noise, "first": self._first}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._noise, self._first = state["noise"], list(state["first"])


_WHAT_TO_DO = (
    "What is learned comes from another policy than the one that is trained; see whether the "
    "worker loads what it is sent, or set rollout.sync to another way"
)
