"""A server as a process: started, waited for, stopped, and its log read for what went wrong."""

import http.client
import logging
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tersely.errors import RolloutError

log = logging.getLogger(__name__)

POLL_S = 0.2
LINE_EVERY_S = 10.0
"""Seconds between two lines about a start."""
GRACE_S = 15.0
"""Seconds that a server has to end by itself."""

IDENTITY_VARIABLE = "TERSELY_SERVE_IDENTITY"
PREFIX = re.compile(r"^\([^)]*pid=\d+\) |^(DEBUG|INFO|WARNING|ERROR) [\d-]+ [\d:]+ \[[^]]*\] ")
"""What vLLM puts before a line: the process, then level, time and place."""
FAILURE = re.compile(r"^([\w.]*(Error|Exception)\b|.*: error: )")


def keeper_command(command: Sequence[str], grace_s: float) -> list[str]:
    """`command`, so that it ends with this process; see `keeper`."""
    keeper = [
        sys.executable,
        "-m",
        "tersely.rollout.vllm.serving.keeper",
        str(os.getpid()),
        str(grace_s),
    ]
    return [*keeper, *command]


def end(process: "subprocess.Popen[str]", grace_s: float) -> None:
    """End a process that was started with `keeper_command` of the same grace."""
    process.terminate()
    try:
        process.wait(grace_s + 5)  # the keeper kills after its grace, so it comes in time
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class ServerProcess:
    """One start of a server."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log_file: Path
    ) -> None:
        self._identity = secrets.token_hex(8)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        self._log_file = log_file
        self._log_begin = log_file.stat().st_size if log_file.exists() else 0
        with log_file.open("a") as output:
            self._process = subprocess.Popen(
                keeper_command(command, GRACE_S),
                env={**environment, IDENTITY_VARIABLE: self._identity},
                cwd=folder,  # not the user's: Python would import what lies there
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
            )

    def exit_code(self) -> int | None:
        """How it ended, None while it runs; 128 and a signal's number if one ended it."""
        return self._process.poll()

    def stop(self) -> None:
        """End it and all processes that it started."""
        end(self._process, GRACE_S)

    def wait_until_healthy(self, host: str, port: int, timeout_s: float) -> None:
        """Return as soon as it answers. Raises `RolloutError` with what its log says, or where
        another server answers."""
        began = said = time.monotonic()
        while (identity := health(host, port)) != self._identity:
            if identity is not None:
                raise RolloutError(
                    f"another server answers on port {port} of {host}, with other weights; stop "
                    "it, or set another port"
                )
            now = time.monotonic()
            if self.exit_code() is not None:
                raise RolloutError(f"the server ended while it was starting: {self.last_words()}")
            if now - began > timeout_s:
                raise RolloutError(
                    f"the server has not answered within timeout_s={timeout_s:g} seconds; its log "
                    f"in {self._log_file} ends with: {self._lines()[-1]}"
                )
            if now - said > LINE_EVERY_S:
                log.info("starting for %.0f s, at: %s", now - began, self._lines()[-1][:120])
                said = now
            time.sleep(POLL_S)

    def last_words(self) -> str:
        """Why it ended, as far as its log tells."""
        code = self.exit_code()
        return f"{'; '.join(failures(self._lines()))} (exit code {code}, log in {self._log_file})"

    def _lines(self) -> list[str]:
        with self._log_file.open(errors="replace") as file:
            file.seek(self._log_begin)
            lines = [line.strip() for line in file]
        return [line for line in lines if line] or ["nothing was logged"]


def failures(lines: Sequence[str]) -> list[str]:
    """The lines of a server's log that say what failed, at most three: the last line if none does.

    The first is the cause; those after it are usually of processes that it took along.
    """
    bare = []
    for line in lines:
        while (shorter := PREFIX.sub("", line)) != line:
            line = shorter
        bare.append(line.strip())
    telling = list(dict.fromkeys(line for line in bare if FAILURE.match(line)))
    return telling[:3] or bare[-1:]


def health(host: str, port: int) -> str | None:
    """Which start of a server it is that can be used there, "" for one that was not started here;
    None if there is none that can."""
    # Not urllib, which would ask a proxy for it.
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/health")
        reply = connection.getresponse()
        return reply.headers.get("x-tersely-serve", "") if reply.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
