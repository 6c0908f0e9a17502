"""Commands of the pages that want a vLLM server, with a real one on this machine's CPU."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from docs.command_rules import Rule, Way, ruled
from docs.workplace import Workplace, made_small
from docs.written_commands import Written, written_commands

READY = re.compile(r"^rollout\.workers=\[(http://.*)\]$", re.M)
WRITTEN = list(ruled(Way.vllm))


@pytest.mark.parametrize(("command", "rule"), WRITTEN, ids=[str(command) for command, _ in WRITTEN])
def test_it_is_done_with_vllm(
    workplace: Workplace, vllm_python: str, command: Written, rule: Rule
) -> None:
    """A server says that it can be used; a run that takes adapters has the server of its page."""
    folder = workplace.page(command.page)
    text = workplace.made_real(command.text, folder)
    if "rollout.serve" in text:
        with serving(workplace, text, vllm_python, folder) as (said, _):
            assert rule.says in said
        return
    text = re.sub(r"rollout\.python=\S+", f"rollout.python={vllm_python}", text)
    line = f"{made_small(text)} {rule.more}"
    if "rollout=vllm_local" in text:
        assert rule.says in workplace.done(line, folder)
        return
    (server,) = (each.text for each in written_commands() if "lora_rank=" in each.text)
    server = workplace.made_real(server, folder)
    with serving(workplace, server, vllm_python, folder) as (_, url):
        line = re.sub(r"http://[\w.]+:\d+", url, line)
        assert rule.says in workplace.done(line, folder)


@contextmanager
def serving(
    workplace: Workplace, text: str, python: str, folder: Path
) -> Iterator[tuple[str, str]]:
    """A server on a free port of this machine alone: what it said, and its address. Ctrl-C ends
    it with 0."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = re.sub(r" (host|port|python)=\S+", "", text) + f" port={port} python={python}"
    with subprocess.Popen(
        ["sh", "-c", f"exec {text}"],
        cwd=folder,
        env=workplace.environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as server:
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            ready = READY.search(said)
            assert ready is not None, f"{text} said {said!r}"
            yield said, ready[1]
        finally:
            os.kill(server.pid, signal.SIGINT)
    assert 0 == server.returncode
