"""A key goes to the endpoint that it is for, and nowhere else."""

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import FakeEndpoint, Reply, Script, chat, error, verdict

from tersely.errors import TerselyError
from tersely.evaluation.judges.config import EndpointConfig
from tersely.evaluation.judges.verdicts import Judged

KEY = "sk-proj-4711secret0815"
Serve = Callable[[Script], FakeEndpoint]
Configured = Callable[..., EndpointConfig]


@pytest.mark.parametrize(
    "reply",
    [
        verdict(7, f"your key is {KEY}"),
        error(401, f"Incorrect API key provided: {KEY}"),
        error(403, f"{KEY} may not"),
        error(400, f"bad header Authorization: Bearer {KEY}"),
        error(400, f"no logprobs for {KEY}"),
        error(500, f"crash while serving {KEY}"),
        Reply(f"<html>{KEY}</html>", status=500),
        chat(f'no verdict, but {{"{KEY}": 1}}'),
        chat(f'{{"reason": "r", "score": "{KEY}"}}'),
    ],
    ids=["reason", "401", "403", "400", "field", "500", "page", "prose", "score"],
)
def test_nothing_that_an_evaluation_leaves_has_the_key(
    reply: Reply,
    serve: Serve,
    configured: Configured,
    item: Judged,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not its verdicts, files, log, output, or the text and trace of its errors, even of an
    endpoint that repeats it."""
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    endpoint = serve(lambda body, number: reply)
    config = configured(endpoint, api_key_env="TEST_KEY", patience_s=0.1)
    left: list[Any] = [config]
    with caplog.at_level(logging.DEBUG):
        try:
            judged = config.build().judge([item])
            left += [judged, judged.rows(), judged.metrics()]
        except TerselyError as raised:
            left += [raised, *traceback.format_exception(raised)]

    assert f"Bearer {KEY}" == endpoint.headers[0]["Authorization"]
    left += [caplog.text, *capfd.readouterr()]
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert all(KEY.encode() not in file.read_bytes() for file in files)
    assert not [each for each in left if KEY in f"{each} {each!r}"]


def test_an_endpoint_that_wants_no_key_gets_none(
    serve: Serve, configured: Configured, item: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client would take OPENAI_API_KEY for it by itself."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint = serve(lambda body, number: verdict(7))
    configured(endpoint, api_key_env=None).build().judge([item])
    assert KEY not in str(endpoint.headers)
