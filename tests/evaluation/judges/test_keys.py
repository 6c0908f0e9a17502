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
PIECES = [KEY[start : start + 8] for start in range(len(KEY) - 7)]
ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
"""As JSON may write it: nobody finds it before it is parsed."""
Serve = Callable[[Script], FakeEndpoint]
Configured = Callable[..., EndpointConfig]


@pytest.mark.parametrize(
    "reply",
    [
        verdict(7, f"your key is {KEY}"),
        error(401, f"Incorrect API key provided: {KEY}"),
        error(403, f"{KEY} may not"),
        error(400, f"bad header Authorization: Bearer {KEY}"),
        error(400, f"logprobs are not supported for {KEY}"),
        error(500, f"crash while serving {KEY}"),
        Reply(f"<html>{KEY}</html>", status=500),
        chat(f'no verdict, but {{"{KEY}": 1}}'),
        chat(f'{{"reason": "r", "score": "{KEY}"}}'),
        *(error(500, f"{'x' * length} {KEY}") for length in (275, 280, 285, 290)),
        Reply(f'{{"error": {{"message": "{"x" * 280} {ESCAPED}"}}}}', status=400),
        chat(f'{{"reason": "r", "score": "{ESCAPED}"}}'),
    ],
    ids=[
        *("reason", "401", "403", "400", "field", "500", "page", "prose", "score"),
        *("cut at 275", "cut at 280", "cut at 285", "cut at 290", "escaped", "escaped score"),
    ],
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
    """Nor a piece of it, of 8 characters: not its verdicts, files, log, output, or the text and
    trace of its errors, even of an endpoint that repeats it."""
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
    left += [file.read_bytes().decode(errors="replace") for file in files]
    assert not [each for each in left for piece in PIECES if piece in f"{each} {each!r}"]


def test_a_short_key_does_not_spoil_replies(
    serve: Serve, configured: Configured, item: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Local servers take any: "score" stands in every reply."""
    monkeypatch.setenv("TEST_KEY", "score")
    config = configured(serve(lambda body, number: verdict(9)), api_key_env="TEST_KEY")
    assert {1.0} == {each.score for each in config.build().judge([item]).verdicts}


def test_an_endpoint_that_wants_no_key_gets_none(
    serve: Serve, configured: Configured, item: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client would take OPENAI_API_KEY for it by itself."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint = serve(lambda body, number: verdict(7))
    configured(endpoint, api_key_env=None).build().judge([item])
    assert KEY not in str(endpoint.headers)
