"""Batched decoding: the prompts of a batch, each prefilled once, each continued G times.

Used for training rollouts and, without a random key, for greedy summaries. Rows that have ended
are dropped from the batch, so that the last long completion does not carry the others along.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

from tersely.errors import ModelError
from tersely.records import FinishReason

SHRINK_BELOW = 0.75
"""Share of live rows below which ended rows are dropped; dropping copies the caches."""


@dataclass
class Completion:
    """What decoding knows of one completion: ids, their log-probabilities, how it ended."""

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason = "length"


@dataclass(frozen=True)
class Transform:
    """How logits become the distribution that a token is drawn from."""

    temperature: float = 1.0
    """Logits are divided by it; above 0."""
    top_p: float = 1.0
    """Nucleus: the smallest set of tokens with at least this probability; 1 keeps all."""

    def logprobs(self, logits: mx.array) -> mx.array:
        """Normalised log-probabilities `[N, V]` in float32 from logits `[N, V]`.

        Temperature included, nucleus not: the policy that is trained has no nucleus, and a
        ratio against renormalised probabilities would be below 1 before any update (by the mass
        outside: 0.3 at `top_p` 0.7, past any clip). The nucleus restricts the draw alone.
        """
        logits = logits.astype(mx.float32) / self.temperature
        return logits - mx.logsumexp(logits, axis=-1, keepdims=True)

    def draw(self, logprobs: mx.array, key: mx.array) -> mx.array:
        """Token ids `[N]` drawn from the nucleus of `logprobs` `[N, V]`."""
        kept = logprobs if self.top_p >= 1.0 else nucleus(logprobs, self.top_p)
        return mx.random.categorical(kept, key=key)


PLAIN = Transform()


def nucleus(logprobs: mx.array, top_p: float) -> mx.array:
    """Log-probabilities with every token outside the nucleus at -inf, not renormalised.

    A token is in the nucleus if the tokens that are more likely than it have together less
    than `top_p` (Holtzman et al., 2020, "The curious case of neural text degeneration").
    """
    order = mx.argsort(-logprobs, axis=-1)
    ranked = mx.exp(mx.take_along_axis(logprobs, order, axis=-1))
    mass_before = mx.cumsum(ranked, axis=-1) - ranked
    kept = mx.put_along_axis(mx.zeros_like(ranked), order, mass_before, axis=-1) < top_p
    return mx.where(kept, logprobs, -mx.inf)


def decode(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    group_size: int,
    *,
    max_tokens: int,
    end_of_turn_ids: Collection[int],
    transform: Transform = PLAIN,
    key: mx.array | None = None,
    advanced: Callable[[int], None] = lambda ended: None,
) -> list[list[Completion]]:
    """Continue each of P prompts `group_size` times; returns P lists of G completions.

    A completion ends with an id of `end_of_turn_ids` (kept in its ids) or after `max_tokens`
    ids. Without a `key` the most likely token is taken; the same key, prompts and weights give
    the same completions. `advanced` is told after every token how many completions have ended.
    """
    rows = [Completion() for _ in range(len(prompts) * group_size)]
    caches = _prefill(model, prompts, group_size)
    tokens = mx.array([prompt[-1] for prompt in prompts for _ in range(group_size)])
    live = list(range(len(rows)))
    for _ in range(max_tokens):
        logprobs = transform.logprobs(model(tokens[:, None], cache=caches)[:, -1])
        if key is None:
            tokens = mx.argmax(logprobs, axis=-1)
        else:
            key, drawing = mx.random.split(key)
            tokens = transform.draw(logprobs, drawing)
        chosen = mx.take_along_axis(logprobs, tokens[:, None], axis=-1).squeeze(-1)
        mx.eval(tokens, chosen)
        _append(rows, live, tokens, chosen, end_of_turn_ids)
        going = [place for place, row in enumerate(live) if rows[row].finish_reason != "stop"]
        advanced(len(rows) - len(going))
        if not going:
            break
        if len(going) < SHRINK_BELOW * len(live):
            keep = mx.array(going)
            for cache in caches:
                cache.filter(keep)
            tokens, live = tokens[keep], [live[place] for place in going]
    return [rows[start : start + group_size] for start in range(0, len(rows), group_size)]


def _prefill(model: nn.Module, prompts: Sequence[Sequence[int]], group_size: int) -> list[Any]:
    """Run each prompt once, all but its last token, and give its state to its whole group."""
    states = []
    for prompt in prompts:
        caches = make_prompt_cache(model)
        model(mx.array([list(prompt[:-1])]), cache=caches)
        mx.eval([cache.state for cache in caches])
        states.extend([caches] * group_size)
    try:
        return [type(layer[0]).merge(list(layer)) for layer in zip(*states, strict=True)]
    except AttributeError as error:
        raise ModelError(
            f"this architecture keeps its state in a cache that cannot be batched ({error}); "
            "choose a checkpoint whose layers use plain or rotating key-value caches"
        ) from error


def _append(
    rows: list[Completion],
    live: list[int],
    tokens: mx.array,
    chosen: mx.array,
    end_of_turn_ids: Collection[int],
) -> None:
    ids, logprobs = cast(list[int], tokens.tolist()), cast(list[float], chosen.tolist())
    for row, token, logprob in zip(live, ids, logprobs, strict=True):
        completion = rows[row]
        if completion.finish_reason == "stop":
            continue
        completion.token_ids.append(token)
        completion.logprobs.append(logprob)
        if token in end_of_turn_ids:
            completion.finish_reason = "stop"
