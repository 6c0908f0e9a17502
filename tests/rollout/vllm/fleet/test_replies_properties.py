"""Whatever a server says, it is a sound rollout or a fault of that server."""

import asyncio
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tersely.rollout.vllm.fleet.replies import ROUNDING, Dialect, Expected, completions
from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.records import Completion, Sampling, Share, WorkerFault

SENT = json.loads((Path(__file__).parent / "replies_of_vllm_0_32.json").read_text())
VOCABULARY = 2048
ASKED = Expected(
    Share(group=0, first=0, count=2, prompt=tuple(range(10, 30)), seed=101),
    Sampling(5, 0.7, (2, 81), VOCABULARY),
    tag="run-7",
    request_id="5f3a",
)
ENDPOINTS = {"generate": (Dialect.tagged, "run-7"), "completions": (Dialect.named, "m")}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3000),
    st.sampled_from([10**30, -(10**400), 10**400, 2**63, "stop", "length", "abort", "token_id:81"]),
    st.floats(),
    st.text(max_size=5),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every way into a JSON value."""
    if path:
        yield path
    if isinstance(tree, list):
        tree = dict(enumerate(tree))
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield from places(value, (*path, key))


def check(found: list[Completion]) -> None:
    """What training takes for granted of rollouts."""
    assert 2 == len(found)
    for completion in found:
        ids, logprobs = completion.token_ids, completion.logprobs
        assert 0 < len(ids) == len(logprobs) <= 5
        assert all(type(token) is int and 0 <= token < VOCABULARY for token in ids)
        assert all(type(each) is float and -9999 < each <= ROUNDING for each in logprobs)
        stops = [token for token in ids if token in (2, 81)]
        assert (1 if completion.finish_reason == "stop" else 0) == len(stops)


def read(endpoint: str, reply: Any) -> None:
    dialect, tag = ENDPOINTS[endpoint]
    try:
        found = completions("http://worker", reply, ASKED._replace(tag=tag), dialect)
    except WorkerFault as fault:
        assert len(fault.what) < 600
    else:
        check(found)


@given(endpoint=st.sampled_from(sorted(ENDPOINTS)), data=st.data())
@settings(max_examples=400)
def test_a_changed_reply_is_sound_or_a_fault(endpoint: str, data: st.DataObject) -> None:
    """Up to three values are replaced, taken out or said twice, wherever they stand."""
    reply = copy.deepcopy(SENT[endpoint])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(places(reply))))
        parent = reply
        for step in path[:-1]:
            parent = parent[step]
        change = data.draw(st.sampled_from(["replace", "take out", "twice"]))
        if change == "replace":
            parent[path[-1]] = data.draw(values)
        elif change == "take out":
            del parent[path[-1]]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[path[-1]]))
        if not list(places(reply)):
            break
    read(endpoint, reply)


@given(endpoint=st.sampled_from(sorted(ENDPOINTS)), reply=values)
@settings(max_examples=200)
def test_any_json_is_a_fault(endpoint: str, reply: Any) -> None:
    read(endpoint, reply)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("token", [VOCABULARY, 10**30])
def test_an_id_that_the_policy_does_not_have_is_a_fault(endpoint: str, token: int) -> None:
    """Trained on, it would be read from beyond the embedding, or be an error of MLX."""
    reply = copy.deepcopy(SENT[endpoint])
    choice = reply["choices"][1]
    choice["token_ids"][0] = token
    if endpoint == "generate":
        choice["logprobs"]["content"][0]["token_id"] = token
    else:
        choice["logprobs"]["tokens"][0] = f"token_id:{token}"
    dialect, tag = ENDPOINTS[endpoint]
    with pytest.raises(WorkerFault, match="the policy knows 2048 ids"):
        completions("http://worker", reply, ASKED._replace(tag=tag), dialect)


def answered(raw: bytes) -> None:
    """Ask a server that answers every request with these bytes, and closes."""

    async def ask() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        worker = Worker(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout_s=5)
        try:
            await worker.call("/path", {"a": 1})
        except WorkerFault:
            pass
        finally:
            await worker.close()
            server.close()

    asyncio.run(ask())


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BODY = b'{"a": [1, 2, {"b": "c"}]}'


@given(
    raw=st.one_of(
        st.binary(max_size=60),
        st.integers(0, len(BODY)).map(
            lambda cut: HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:cut]
        ),
        st.binary(max_size=30).map(lambda body: HEAD + b"\r\n" + body),
        st.binary(max_size=30).map(lambda body: HEAD + b"Content-Encoding: gzip\r\n\r\n" + body),
        st.binary(max_size=30).map(
            lambda body: HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body
        ),
        st.binary(max_size=20).map(lambda odd: b"HTTP/1.1 200 OK\r\n" + odd + b"\r\n\r\n" + BODY),
        st.integers(0, 1200).map(lambda status: b"HTTP/1.1 %d X\r\n\r\n" % status + BODY),
    )
)
@settings(max_examples=120)
def test_any_bytes_are_an_answer_or_a_fault(raw: bytes) -> None:
    answered(raw)


@pytest.mark.parametrize("status", [b"200 OK", b"500 Oh"])
def test_deeply_nested_json_is_a_fault(status: bytes) -> None:
    """It exceeds what Python parses, which is no ValueError."""
    answered(b"HTTP/1.1 " + status + b"\r\n\r\n" + b"[" * 100_000)
