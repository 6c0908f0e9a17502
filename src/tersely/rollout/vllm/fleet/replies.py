"""What a worker's reply must be before a rollout is made of it.

Both endpoints that vLLM has for token ids are read here. They differ in how they tell the version
of the weights: see `Dialect`.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, NamedTuple

from tersely.records import FinishReason
from tersely.rollout.vllm.records import Completion, Sampling, Share, WorkerFault

LOWEST_LOGPROB = -9999.0
"""What vLLM writes for minus infinity; nothing that was sampled has it."""
ROUNDING = 1e-6
"""By how much a log-probability may be above 0."""


class Dialect(Enum):
    """How a worker tells which weights sampled."""

    tagged = "tagged"
    """Each token has a tag of its weights: `/inference/v1/generate`, since vLLM 0.32."""
    named = "named"
    """The weights are a model of their own name: `/v1/completions`, any vLLM."""


class WrongVersion(WorkerFault):
    """A worker sampled, or would sample, with other weights than it should."""


class Refused(WorkerFault):
    """A worker does not do what it is asked, however often."""


class Expected(NamedTuple):
    """What was asked for, for comparison with what came."""

    share: Share
    sampling: Sampling
    tag: str
    request_id: str


class _Unfit(Exception):
    """A reply that cannot be used, in words."""


class _Stale(_Unfit):
    """A reply of other weights, in words."""


class _Short(_Unfit):
    """A reply that a server without room for more will always give, in words."""


def completions(url: str, reply: Any, expected: Expected, dialect: Dialect) -> list[Completion]:
    """The completions of a share in the order of their seeds, `[count]`.

    Raises `WrongVersion` where other weights sampled, `Refused` where the server has no room for
    completions as long as asked for, and `WorkerFault` for anything else that a sound worker
    would not have sent.
    """
    try:
        choices = _choices(reply, expected)
        if dialect is Dialect.named:
            _check_name(reply, expected.tag)
            return [_completion(choice, _read_named, expected) for choice in choices]
        for choice in choices:
            _check_tags(choice, expected.tag)
        return [_completion(choice, _read_tagged, expected) for choice in choices]
    except _Stale as unfit:
        raise WrongVersion(url, str(unfit)) from None
    except _Short as unfit:
        raise Refused(url, str(unfit)) from None
    except _Unfit as unfit:
        raise WorkerFault(url, f"its reply cannot be used: {unfit}") from None


def _choices(reply: Any, expected: Expected) -> list[dict[str, Any]]:
    if not isinstance(reply, dict):
        raise _Unfit("it is not a JSON object")
    request_id = reply.get("request_id", reply.get("id"))
    # vLLM puts the name of its endpoint before the id that it was given.
    if not isinstance(request_id, str) or not request_id.endswith(expected.request_id):
        raise _Unfit(f"it answers request {_shown(request_id)}, not {expected.request_id!r}")
    choices = reply.get("choices")
    if not isinstance(choices, list) or not all(isinstance(one, dict) for one in choices):
        raise _Unfit("it has no list of choices")
    if len(choices) != expected.share.count:
        raise _Unfit(f"it has {len(choices)} completions, not {expected.share.count}")
    # Completion i has seed + i, so the order is part of the answer.
    indices = [choice.get("index") for choice in choices]
    if sorted(filter(_is_count, indices)) != list(range(len(choices))):
        raise _Unfit(f"its completions have the places {_shown(indices)}")
    for part in (reply, *choices):
        if part.get("prompt_token_ids") not in (None, list(expected.share.prompt)):
            raise _Unfit("it is about another prompt")
    return sorted(choices, key=lambda choice: int(choice["index"]))


def _check_name(reply: dict[str, Any], tag: str) -> None:
    if reply.get("model") != tag:
        raise _Stale(f"sampled with the model {_shown(reply.get('model'))} instead of {tag!r}")


def _check_tags(choice: dict[str, Any], tag: str) -> None:
    """Spans of token places, each with the version that sampled them, without a gap."""
    spans, tokens = choice.get("weight_versions"), choice.get("token_ids")
    if not isinstance(spans, list) or not isinstance(tokens, list):
        raise _Unfit("a completion does not say which weights sampled it")
    covered = 0
    for span in spans:
        if not isinstance(span, dict) or span.get("version") != tag:
            version = span.get("version") if isinstance(span, dict) else span
            raise _Stale(f"sampled with the weights {_shown(version)} instead of {tag!r}")
        if span.get("start") != covered or not _is_count(span.get("end")):
            raise _Unfit("the versions of a completion's tokens have gaps")
        covered = span["end"]
    if covered != len(tokens):
        raise _Unfit(f"{covered} of {len(tokens)} tokens say which weights sampled them")


def _read_tagged(choice: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    entries = choice["logprobs"]["content"]
    return [entry["token_id"] for entry in entries], [entry["logprob"] for entry in entries]


def _read_named(choice: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    # With return_tokens_as_token_ids a token is written as "token_id:334".
    names = [str(token) for token in choice["logprobs"]["tokens"]]
    ids = [int(name.removeprefix("token_id:")) for name in names]
    return ids, list(choice["logprobs"]["token_logprobs"])


def _completion(
    choice: dict[str, Any],
    read: Callable[[dict[str, Any]], tuple[list[Any], list[Any]]],
    expected: Expected,
) -> Completion:
    ids, finish = choice.get("token_ids"), choice.get("finish_reason")
    if finish == "abort":
        raise _Unfit("it was aborted")
    if not isinstance(ids, list) or not ids or not all(_is_count(token) for token in ids):
        raise _Unfit("a completion has no token ids")
    if max(ids) >= expected.sampling.vocabulary:
        raise _Unfit(
            f"a completion has the token id {str(max(ids))[:20]}, and the policy knows "
            f"{expected.sampling.vocabulary} ids from 0 on"
        )
    try:
        scored_ids, logprobs = read(choice)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _Unfit("a completion has no log-probabilities by token id") from None
    if scored_ids != ids or len(logprobs) != len(ids):
        raise _Unfit("its log-probabilities are not those of its token ids")
    for logprob in logprobs:
        if not _is_logprob(logprob):
            raise _Unfit(f"{_shown(logprob)} is no log-probability of a sampled token")
    return Completion(
        tuple(ids), tuple(map(float, logprobs)), _finish_reason(ids, finish, expected.sampling)
    )


def _finish_reason(ids: Sequence[int], finish: Any, sampling: Sampling) -> FinishReason:
    """`finish`, if the tokens agree with it."""
    stops = [place for place, token in enumerate(ids) if token in sampling.stop_token_ids]
    if len(ids) > sampling.max_tokens:
        raise _Unfit(f"a completion has {len(ids)} tokens, above {sampling.max_tokens}")
    if finish == "stop" and stops == [len(ids) - 1]:
        return "stop"
    if finish == "length" and not stops:
        if len(ids) < sampling.max_tokens:
            raise _Short(
                f"a completion was cut at {len(ids)} of {sampling.max_tokens} tokens; the server "
                "needs a longer context (context= of tersely.rollout.serve, rollout.context of "
                "rollout=vllm_local), or prompt.max_tokens and rollout.max_tokens are to be lower"
            )
        return "length"
    raise _Unfit(
        f"a completion of {len(ids)} tokens ended for the reason {_shown(finish)}, with stop "
        f"tokens at the places {stops}"
    )


def _shown(value: Any) -> str:
    """What a server sent, as it may stand in a message."""
    try:
        said = repr(value)
    except (RecursionError, ValueError):  # nested deeply, or with too many digits
        return f"a {type(value).__name__}"
    return said if len(said) <= 80 else f"{said[:80]}..."


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_logprob(value: Any) -> bool:
    # Compared, not `math.isfinite`, which fails at whole numbers that no float can hold.
    return type(value) in (int, float) and LOWEST_LOGPROB < value <= ROUNDING
