"""Checks of what the policy writes: how it ends, how long it is, and whether it varies."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean
from typing import Any, ClassVar

from tersely.records import Group
from tersely.training.checks.seen import Check, Recent, Seen, Setting

UNLABELLED = 16
"""Completions that ended by themselves without their end-of-turn token, after which it is no
accident; a sound sampler has none."""
NO_LABEL = 64
"""Completions without a single end of turn among them, after which the policy does not learn to
stop: of a policy that stops once in ten times, that happens once in 900 runs."""
CUT_SHARE = 0.3
"""Share of completions cut by the token limit that is too large. The embedded model begins at
0.12 and is at 0 after five steps."""
FACTOR = 2.0
"""How far off both the target and the first steps the mean length may be, either way."""
BEGINNING = 5
"""Steps whose mean length is where the stage began."""
REPEATED_SHARE = 0.5
"""Most of a prompt's completions, but for the first, that may repeat another one's text: 0 where
all differ, as nearly all do at temperature 1, and 1 where all are the same."""
ELSEWHERE_SHARE = 0.25
"""Most of the completions that may be what another prompt got, word for word."""


class EndNeverLabel(Check):
    """No token that ends a turn is among those that are learned."""

    name: ClassVar[str] = "end_never_label"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._unlabelled = self._without = 0
        self._labelled = False

    def look(self, seen: Seen) -> str | None:
        if not self.setting.train_end_of_turn:
            return (
                "trainer.train_end_of_turn=false leaves the token that ends the turn out of what "
                "is learned: when to stop, which is what a length reward teaches, gets no "
                "gradient. It is there to compare with; set it to true for anything else"
            )
        ends = self.setting.end_of_turn_ids
        for rollout in seen.rollouts:
            labelled = bool(rollout.token_ids) and rollout.token_ids[-1] in ends
            self._labelled |= labelled
            self._without += not labelled
            self._unlabelled += not labelled and rollout.finish_reason == "stop"
        if self._unlabelled >= UNLABELLED:
            return (
                f"{self._unlabelled} completions ended by themselves, but the token that ends "
                "the turn is not among their ids: when to stop, which is what a length reward "
                "teaches, gets no gradient. The sampler has to give that token too (vLLM: "
                "include_stop_str_in_output, or its token ids as they are)"
            )
        if self._without >= NO_LABEL and not self._labelled:
            return (
                f"none of the first {self._without} completions has a token that ends the turn, "
                "so the policy is never taught to stop. Either it hardly ever does within "
                f"rollout.max_tokens={self.setting.max_tokens}: set that higher; or its "
                "end-of-turn ids are wrong: see eos_token_id in the checkpoint's config.json and "
                "generation_config.json"
            )
        return None

    def state(self) -> dict[str, Any]:
        return {
            "unlabelled": self._unlabelled,
            "without": self._without,
            "labelled": self._labelled,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._unlabelled, self._without = state["unlabelled"], state["without"]
        self._labelled = state["labelled"]


class CompletionsCut(Recent):
    """The token limit ends completions, not the policy."""

    name: ClassVar[str] = "completions_cut"

    def look(self, seen: Seen) -> str | None:
        full = self.remember(1 - seen.metrics["rollout/stopped_share"])
        if not full or self.mean() < CUT_SHARE:
            return None
        return (
            f"over the last {self.window} steps {self.mean():.0%} of the completions were cut at "
            f"rollout.max_tokens={self.setting.max_tokens}: their length is the limit's, their "
            "end is never learned, and their texts are scored without it; set rollout.max_tokens "
            "well above the lengths that are written"
        )


class LengthDrift(Recent):
    """Completions become next to nothing, or ever longer."""

    name: ClassVar[str] = "length_drift"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._beginning: list[float] = []

    def look(self, seen: Seen) -> str | None:
        length = seen.metrics["length/mean"]
        if len(self._beginning) < BEGINNING:
            self._beginning = [*self._beginning, length]
            return None
        if not self.remember(length):
            return None
        began, target = fmean(self._beginning), self.setting.target
        short = self.mean() < min(began, target) / FACTOR
        if not short and self.mean() <= max(began, target) * FACTOR:
            return None
        return (
            f"completions {'have collapsed' if short else 'run away'}: {self.mean():.0f} tokens "
            f"in the mean of the last {self.window} steps, after {began:.0f} when the stage began, "
            f"with length.target={target}. Scores of such summaries follow their length (as in "
            "the study's staged runs), so compare them with care; strategy=joint or a higher "
            "length.weight holds the length, and a higher loss.beta the policy"
        )

    def state(self) -> dict[str, Any]:
        return {**super().state(), "beginning": self._beginning}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._beginning = list(state["beginning"])


class SameText(Recent):
    """The policy writes one text over and over: within groups, or whatever the post."""

    name: ClassVar[str] = "same_text"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._last: dict[str, list[str]] = {}
        """Text of the step before -> ids of the posts that it was written for. With one prompt a
        step there is nothing else to compare with."""

    def look(self, seen: Seen) -> str | None:
        written: dict[str, set[str]] = defaultdict(set)
        for group in seen.batch.groups:
            for rollout in group.rollouts:
                written[_name_of(rollout.token_ids)].add(group.prompt.example.id)
        repeated = fmean(map(_repeated, seen.batch.groups))
        elsewhere = fmean(
            len(written[name] | set(self._last.get(name, ()))) > 1
            for name in (_name_of(rollout.token_ids) for rollout in seen.rollouts)
        )
        self._last = {name: sorted(posts) for name, posts in written.items()}
        if not self.remember((repeated, elsewhere)):
            return None
        repeated, elsewhere = (fmean(each) for each in zip(*self.recent, strict=True))
        if repeated <= REPEATED_SHARE and elsewhere <= ELSEWHERE_SHARE:
            return None
        return (
            f"the policy writes the same over and over: in the last {self.window} steps "
            f"{repeated:.0%} of the completions repeated, word for word, another one of their "
            f"prompt, and {elsewhere:.0%} what another prompt got. Groups of equal texts "
            "teach nothing, and a text that suits every post games the reward; look at the "
            "summaries, then set a higher loss.beta, a lower trainer.learning_rate or "
            "rollout.temperature=1"
        )

    def state(self) -> dict[str, Any]:
        return {**super().state(), "last": self._last}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._last = dict(state["last"])


def _repeated(group: Group) -> float:
    """Share of a group's completions, but for the first, whose text another one has."""
    size = len(group.rollouts)
    return (size - len({rollout.token_ids for rollout in group.rollouts})) / max(1, size - 1)


def _name_of(token_ids: tuple[int, ...]) -> str:
    return hashlib.blake2b(repr(token_ids).encode(), digest_size=8).hexdigest()
