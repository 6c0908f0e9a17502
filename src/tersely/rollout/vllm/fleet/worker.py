"""One vLLM server over HTTP."""

import json
import os
import uuid
from http import HTTPStatus
from typing import Any

import aiohttp

from tersely.rollout.vllm.fleet.replies import Dialect, Expected, Refused, WrongVersion, completions
from tersely.rollout.vllm.records import Completion, Sampling, Share, WorkerFault

CONNECT_S = 10.0
"""For a connection; a machine that is gone does not answer at all."""
HEALTH_S = 10.0
IDLE_S = 2.0
"""A connection is used again only within this time. vLLM closes one that idles for 5 seconds, and
a request that crosses the closing is lost."""
REFUSED = {400, 401, 403, 413, 422}
"""HTTP statuses that asking again does not change."""


class NotFound(WorkerFault):
    """A worker does not have what it was asked for."""


class Worker:
    """One vLLM server. Its coroutines run on one event loop; each has a deadline, and what goes
    wrong with the server is a `WorkerFault`."""

    def __init__(self, url: str, *, timeout_s: float, token: str | None = None) -> None:
        """`timeout_s` is for one request, from its start to the last byte of the reply; `token`
        is sent as a bearer token. Nothing is connected yet."""
        self.url = url
        self._timeout_s = timeout_s
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    async def healthy(self) -> None:
        """Returns if the server says so. Raises `WorkerFault`."""
        await self._ask("/health", None, "GET", min(HEALTH_S, self._timeout_s))

    async def call(self, path: str, body: Any = None, *, method: str = "POST") -> Any:
        """The JSON that the server answers, None for an empty reply.

        Raises `Refused` for a request that it will never take, `NotFound`, and `WorkerFault` for
        everything else that is not a success with JSON, or is not there in time.
        """
        raw = await self._ask(path, body, method, self._timeout_s)
        if not raw.strip():
            return None
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            raise WorkerFault(self.url, f"{path} did not answer in JSON: {_shown(raw)}") from None

    async def sample(
        self, share: Share, sampling: Sampling, *, tag: str, dialect: Dialect
    ) -> list[Completion]:
        """The completions of a share under the weights `tag`, `[count]`, checked.

        Raises `WrongVersion` where the server has other weights, and `WorkerFault`.
        """
        expected = Expected(share, sampling, tag, uuid.uuid4().hex)
        if dialect is Dialect.tagged:
            reply = await self.call("/inference/v1/generate", _tagged_request(expected))
        else:
            try:
                reply = await self.call("/v1/completions", _named_request(expected))
            except NotFound as fault:
                raise WrongVersion(self.url, fault.what) from None
        return completions(self.url, reply, expected, dialect)

    async def close(self) -> None:
        """Give up the connections. The next request would make new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, path: str, body: Any, method: str, timeout_s: float) -> bytes:
        limits = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_S, timeout_s))
        try:
            async with self._connected().request(
                method, self.url + path, json=body, timeout=limits, allow_redirects=False
            ) as response:
                raw, status = await response.read(), response.status
        except aiohttp.ConnectionTimeoutError:
            raise WorkerFault(
                self.url, f"no connection within {min(CONNECT_S, timeout_s):g} seconds"
            ) from None
        except TimeoutError:
            raise WorkerFault(
                self.url, f"{path} did not answer within {timeout_s:g} seconds"
            ) from None
        # ValueError is what becomes of a header or an encoding that cannot be read.
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise WorkerFault(self.url, f"{path} gave no answer ({_cause(error)})") from None
        if 200 <= status < 300:
            return raw
        kind = Refused if status in REFUSED else NotFound if status == 404 else WorkerFault
        raise kind(self.url, f"{path} answered {status}{_reason(status)}: {_message(raw)}")

    def _connected(self) -> aiohttp.ClientSession:
        # A session belongs to a running event loop, which there is not when a worker is made.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
            )
        return self._session


def _sampling_parameters(expected: Expected) -> dict[str, Any]:
    """All of them, because a server fills what is left out from its checkpoint's
    generation_config.json. `ignore_eos` leaves the stop tokens that are named as the only ones."""
    share, sampling = expected.share, expected.sampling
    return {
        "n": share.count,
        "seed": share.seed,
        "temperature": sampling.temperature,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": sampling.max_tokens,
        "min_tokens": 0,
        "stop_token_ids": list(sampling.stop_token_ids),
        "ignore_eos": True,
        "logprobs": 0,
    }


def _tagged_request(expected: Expected) -> dict[str, Any]:
    return {
        "request_id": expected.request_id,
        "token_ids": list(expected.share.prompt),
        "return_token_ids": True,
        "sampling_params": _sampling_parameters(expected) | {"detokenize": False},
    }


def _named_request(expected: Expected) -> dict[str, Any]:
    return {
        "request_id": expected.request_id,
        "model": expected.tag,
        "prompt": list(expected.share.prompt),
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
    } | _sampling_parameters(expected)


def _cause(error: Exception) -> str:
    """In the system's words where it has some: "Connection refused"."""
    system = getattr(error, "os_error", error)
    if isinstance(system, OSError) and system.errno is not None:
        return os.strerror(system.errno)
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _reason(status: int) -> str:
    return f" {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else ""


def _message(raw: bytes) -> str:
    """What a server says about an error: vLLM's own sentence where there is one."""
    try:
        return _shown(json.loads(raw)["error"]["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return _shown(raw)


def _shown(said: Any) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    text = " ".join(text.split())
    return (text[:300] + "...") if len(text) > 300 else text or "nothing"
