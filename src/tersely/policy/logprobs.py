"""Log-probabilities of completions under a policy.

`Scorer` is the seam that training, the reference and tests stand on: completions of a prompt in,
`[R, T]` log-probabilities out. The prompt goes through the model once for all its completions
(`prompt_state`), and only positions that have a token reach the LM head (`lm_head`).
An architecture whose caches cannot be shared gets the prompt in every row instead, and one whose
logits are more than a product with the head's weight has them computed whole.
"""

from collections.abc import Sequence
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn

from tersely.policy.lm_head import TokenScores, token_scores
from tersely.policy.prompt_state import (
    Cache,
    PromptState,
    caches_from,
    can_share_prompt,
    prompt_state,
)
from tersely.policy.trunk import halves

Tokens = Sequence[int]


class Scored(NamedTuple):
    """Log-probabilities of completions, padded to the longest one."""

    logprobs: mx.array
    """`[P, G, T]` float32, in nats; 0 where there is no token."""
    mask: mx.array
    """`[P, G, T]` float32: 1 for a sampled token (end of turn included), 0 for padding."""


class Scorer:
    """Scores completions under one model."""

    def __init__(
        self, model: nn.Module, temperature: float = 1.0, vocabulary_block: int | None = None
    ) -> None:
        """Logits are divided by `temperature` first, as the sampler does, so that the result is
        comparable to the sampler's log-probabilities. `vocabulary_block` is how many rows of
        the LM head are in memory at once, by default few."""
        self.model = model
        self._temperature, self._block = temperature, vocabulary_block
        self._halves = halves(model)
        self.shares_prompt = can_share_prompt(model)
        """Whether a prompt goes through the model once for all its completions."""

    @property
    def fuses_head(self) -> bool:
        """Whether the LM head is worked through in blocks, never whole."""
        return self._halves is not None

    def state_of(self, prompt: Tokens) -> PromptState | None:
        """What `score` needs of `prompt`, differentiable; None where completions carry it.

        The prompt's last token is left to the completions, because its output is the
        distribution of their first token.
        """
        if not self.shares_prompt or len(prompt) < 2:
            return None
        trunk = self._halves.trunk if self._halves else self.model
        return prompt_state(self.model, trunk, prompt[:-1])

    def score(
        self,
        prompt: Tokens,
        state: PromptState | None,
        completions: Sequence[Tokens],
        length: int,
        *,
        entropy: bool = False,
    ) -> TokenScores:
        """Scores of R completions of one prompt, `[R, length]`, 0 where there is no token.

        `state` is `state_of(prompt)`; differentiable in it and in the model's parameters.
        Completions are padded on the right, which a causal model never looks at.
        """
        carried = prompt if state is None else prompt[-1:]
        inputs = [[*carried, *completion[:-1]] for completion in completions]
        caches = None if state is None else caches_from(self.model, state, len(completions))
        tokens = _padded(inputs, len(carried) - 1 + length)
        places = _places(completions, length)
        targets = mx.array([token for completion in completions for token in completion])
        window = slice(len(carried) - 1, len(carried) - 1 + length)
        output = self._output(tokens, caches)[:, window]
        output = output.reshape(-1, output.shape[-1])[places]
        scores = self._score_output(output, targets, entropy)

        def spread(values: mx.array) -> mx.array:
            flat = mx.zeros((len(completions) * length,)).at[places].add(values)
            return flat.reshape(len(completions), length)

        return TokenScores(
            spread(scores.logprobs),
            None if scores.entropy is None else spread(scores.entropy),
        )

    def _output(self, tokens: mx.array, caches: list[Cache] | None) -> mx.array:
        """Hidden states or, where the head cannot be taken off, logits; `[R, T, ...]`."""
        own = self._halves.trunk if self._halves else self.model
        output: mx.array = own(tokens, cache=caches)
        return output

    def _score_output(self, output: mx.array, targets: mx.array, entropy: bool) -> TokenScores:
        """Scores `[N]` of `targets`, from what `_output` gave at their places."""
        if self._halves is None:
            logits = output.astype(mx.float32) / self._temperature
            return _scores_of_logits(logits, targets, entropy)
        return token_scores(
            output,
            self._halves.head.weight,
            targets,
            temperature=self._temperature,
            entropy=entropy,
            block=self._block,
            trained="weight" in self._halves.head.trainable_parameters(),
        )

    def score_all(
        self, prompts: Sequence[Tokens], completions: Sequence[Sequence[Tokens]]
    ) -> Scored:
        """See `completion_logprobs`."""
        longest = max(len(completion) for group in completions for completion in group)
        rows = [
            self.score(prompt, self.state_of(prompt), group, longest).logprobs
            for prompt, group in zip(prompts, completions, strict=True)
        ]
        mask = mx.stack([completion_mask(group, longest) for group in completions])
        return Scored(mx.stack(rows), mask)


def completion_logprobs(
    model: nn.Module,
    prompts: Sequence[Tokens],
    completions: Sequence[Sequence[Tokens]],
    temperature: float = 1.0,
) -> Scored:
    """Score every completion of every prompt; differentiable in the model's parameters.

    `prompts` holds P token lists of at least one token, `completions` P lists of G token lists
    of at least one. Whole groups at once: for many long ones take the chunks of `training`.
    """
    return Scorer(model, temperature).score_all(prompts, completions)


def completion_mask(completions: Sequence[Tokens], length: int) -> mx.array:
    """`[R, length]` float32: 1 where a completion has a token."""
    lengths = mx.array([len(completion) for completion in completions])
    return (mx.arange(length)[None] < lengths[:, None]).astype(mx.float32)


def padded(rows: Sequence[Sequence[float]], length: int) -> mx.array:
    """`[R, length]` float32, 0 beyond the end of each row."""
    return mx.array([[*row, *([0.0] * (length - len(row)))] for row in rows], mx.float32)


def _padded(rows: Sequence[Tokens], length: int) -> mx.array:
    return mx.array([[*row, *([0] * (length - len(row)))] for row in rows])


def _places(completions: Sequence[Tokens], length: int) -> mx.array:
    """`[N]`: where the tokens stand in `[R, length]` made flat."""
    return mx.array(
        [row * length + at for row, each in enumerate(completions) for at in range(len(each))]
    )


def _scores_of_logits(logits: mx.array, targets: mx.array, entropy: bool) -> TokenScores:
    """From logits `[N, V]`, in float32."""
    logsumexp = mx.logsumexp(logits, axis=-1)
    chosen = mx.take_along_axis(logits, targets[:, None], axis=-1).squeeze(-1)
    if not entropy:
        return TokenScores(chosen - logsumexp, None)
    share = mx.exp(logits - logsumexp[:, None])
    expected = (share * logits).sum(axis=-1)
    return TokenScores(chosen - logsumexp, mx.stop_gradient(logsumexp - expected))
