"""What is made of a reply. The two good ones are what vLLM 0.32 sent, less what nobody reads."""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tersely.rollout.vllm.fleet.replies import Dialect, Expected, Refused, WrongVersion, completions
from tersely.rollout.vllm.records import Completion, Sampling, Share, WorkerFault

SENT = json.loads((Path(__file__).parent / "replies_of_vllm_0_32.json").read_text())
ASKED = Expected(
    Share(group=0, first=0, count=2, prompt=tuple(range(10, 30)), seed=101),
    Sampling(max_tokens=5, temperature=0.7, stop_token_ids=(2, 81)),
    tag="run-7",
    request_id="5f3a",
)
READ = [
    Completion(
        (1022, 1197, 686, 686, 81),
        (
            -7.311737060546875,
            -4.959148406982422,
            -7.217941761016846,
            -1.5954487323760986,
            -5.2230143547058105,
        ),
        "stop",
    ),
    Completion(
        (1408, 1408, 813, 965, 1356),
        (
            -6.709968566894531,
            -3.991018295288086,
            -5.6988935470581055,
            -9.72307300567627,
            -7.193574905395508,
        ),
        "length",
    ),
]
Change = Callable[[dict[str, Any]], Any]


def read(reply: Any, dialect: Dialect = Dialect.tagged, **asked: Any) -> list[Completion]:
    return completions("http://worker", reply, ASKED._replace(**asked), dialect)


def changed(endpoint: str, change: Change) -> dict[str, Any]:
    reply: dict[str, Any] = copy.deepcopy(SENT[endpoint])
    change(reply)
    return reply


def first(reply: dict[str, Any]) -> dict[str, Any]:
    choice: dict[str, Any] = reply["choices"][0]
    return choice


def entry(reply: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = first(reply)["logprobs"]["content"][0]
    return found


def test_both_endpoints_say_the_same() -> None:
    """Stop token 81 ends the first completion at the limit of 5 tokens, which is no `length`."""
    assert READ == read(SENT["generate"])
    assert READ == read(SENT["completions"], Dialect.named, tag="m")


def test_completions_are_put_in_the_order_of_their_seeds() -> None:
    assert READ == read(changed("generate", lambda reply: reply["choices"].reverse()))


def test_a_log_probability_may_be_rounded_up_to_just_above_0() -> None:
    reply = changed("generate", lambda reply: entry(reply).update(logprob=1e-7))
    assert 1e-7 == read(reply)[0].logprobs[0]


@pytest.mark.parametrize(
    ("spans", "said"),
    [
        ([{"version": "run-6", "start": 0, "end": 5}], "weights 'run-6' instead of 'run-7'"),
        (
            [{"version": "run-7", "start": 0, "end": 3}, {"version": "x", "start": 3, "end": 5}],
            "weights 'x'",
        ),
    ],
)
def test_tokens_of_other_weights_are_a_fault_of_its_own(spans: list[Any], said: str) -> None:
    """So are completions of which only the end is by other weights."""
    reply = changed("generate", lambda reply: first(reply).update(weight_versions=spans))
    with pytest.raises(WrongVersion, match=said):
        read(reply)


def test_tokens_of_one_version_may_come_in_several_spans() -> None:
    spans = [{"version": "run-7", "start": 0, "end": 3}, {"version": "run-7", "start": 3, "end": 5}]
    reply = changed("generate", lambda reply: first(reply).update(weight_versions=spans))
    assert READ == read(reply)


def test_another_model_is_a_wrong_version() -> None:
    with pytest.raises(WrongVersion, match="the model 'm' instead of 'run-7'"):
        read(SENT["completions"], Dialect.named)


def test_a_server_without_room_for_the_completion_will_never_have_it() -> None:
    """It cuts at its own limit, here 5 tokens, and says `length`; 6 were asked for."""
    reply = changed("generate", lambda reply: reply["choices"].reverse())
    with pytest.raises(Refused, match=r"cut at 5 of 6 tokens.*context= of tersely"):
        read(reply, sampling=Sampling(6, 0.7, (2, 81)))


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("answers request", lambda reply: reply.update(request_id="generate-tokens-5f3b")),
        ("answers request", lambda reply: reply.pop("request_id")),
        ("no list of choices", lambda reply: reply.update(choices=None)),
        ("no list of choices", lambda reply: reply.update(choices=[1, 2])),
        ("has 1 completions, not 2", lambda reply: reply["choices"].pop()),
        ("places .1, 1.", lambda reply: first(reply).update(index=1)),
        ("places", lambda reply: first(reply).update(index=[0])),
        ("places", lambda reply: first(reply).pop("index")),
        ("another prompt", lambda reply: reply.update(prompt_token_ids=[10, 11])),
        ("does not say which", lambda reply: first(reply).pop("weight_versions")),
        ("0 of 5 tokens say", lambda reply: first(reply).update(weight_versions=[])),
        ("4 of 5 tokens", lambda reply: first(reply)["weight_versions"][0].update(end=4)),
        ("gaps", lambda reply: first(reply)["weight_versions"][0].update(start=1)),
        ("no token ids", lambda reply: first(reply).update(token_ids=[1.5] * 5)),
        ("no token ids", lambda reply: first(reply).update(token_ids=[True] * 5)),
        ("no log-prob", lambda reply: first(reply).pop("logprobs")),
        ("no log-prob", lambda reply: first(reply).update(logprobs=[])),
        ("no log-prob", lambda reply: entry(reply).pop("logprob")),
        ("not those of", lambda reply: entry(reply).update(token_id=5)),
        ("not those of", lambda reply: first(reply)["logprobs"]["content"].pop()),
        ("nan is no log-prob", lambda reply: entry(reply).update(logprob=math.nan)),
        ("0.1 is no log-prob", lambda reply: entry(reply).update(logprob=0.1)),
        ("None is no log-prob", lambda reply: entry(reply).update(logprob=None)),
        ("-9999.0 is no log-prob", lambda reply: entry(reply).update(logprob=-9999.0)),
        ("aborted", lambda reply: first(reply).update(finish_reason="abort")),
        ("reason 'length'", lambda reply: first(reply).update(finish_reason="length")),
        ("reason None", lambda reply: first(reply).update(finish_reason=None)),
        ("reason 'stop'", lambda reply: reply["choices"][1].update(finish_reason="stop")),
    ],
)
def test_what_a_sound_worker_would_not_send_is_a_fault(said: str, change: Change) -> None:
    """It says which worker and what was wrong, and is neither of the other two kinds."""
    with pytest.raises(WorkerFault, match=said) as caught:
        read(changed("generate", change))
    assert (WorkerFault, "http://worker") == (type(caught.value), caught.value.url)


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("answers request", lambda reply: reply.update(id="cmpl-other")),
        ("another prompt", lambda reply: first(reply).update(prompt_token_ids=[10])),
        ("no log-prob", lambda reply: first(reply)["logprobs"].update(tokens=[" the"] * 5)),
        (
            "not those of",
            lambda reply: first(reply)["logprobs"].update(tokens=["token_id:7"] * 5),
        ),
        ("not those of", lambda reply: first(reply)["logprobs"]["token_logprobs"].pop()),
    ],
)
def test_the_same_holds_for_named_weights(said: str, change: Change) -> None:
    with pytest.raises(WorkerFault, match=said):
        read(changed("completions", change), Dialect.named, tag="m")


@pytest.mark.parametrize("reply", [None, [], "text", 5])
def test_a_reply_is_an_object(reply: Any) -> None:
    with pytest.raises(WorkerFault, match="not a JSON object"):
        read(reply)


def test_a_stop_token_before_the_end_did_not_stop() -> None:
    """686 stands at places 2 and 3."""
    with pytest.raises(WorkerFault, match=r"at the places \[2, 3, 4\]"):
        read(SENT["generate"], sampling=Sampling(5, 0.7, (81, 686)))


def test_no_completion_is_longer_than_asked_for() -> None:
    with pytest.raises(WorkerFault, match="has 5 tokens, above 4"):
        read(SENT["generate"], sampling=Sampling(4, 0.7, (2, 81)))
