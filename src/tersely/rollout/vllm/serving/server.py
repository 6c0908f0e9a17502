"""A server of a run's own, on this machine: `rollout=vllm_local` has one."""

import logging
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from tersely.errors import RolloutError
from tersely.rollout.vllm.serving.process import end, keeper_command
from tersely.rollout.vllm.token import TOKEN_VARIABLE, own_server_token

log = logging.getLogger(__name__)

GRACE_S = 30.0
"""Seconds that serve has to end: more than it gives its server."""
LINE_EVERY_S = 10.0


class LocalServer:
    """`tersely.rollout.serve` as a process of this one: it ends with it, however that ends.

    A context manager: `with LocalServer(...) as url`.
    """

    def __init__(
        self,
        model_folder: Path,
        *,
        python: str,
        port: int = 0,
        lora_rank: int = 0,
        context: int = 0,
        log_folder: Path,
    ) -> None:
        """As the options of `tersely.rollout.serve`, to which they go; `port` 0 takes a free
        one."""
        self.log_file = log_folder / "serve.log"
        """What becomes of it."""
        self._options = [
            f"model={model_folder}",
            f"python={python}",
            f"port={port}",
            f"lora_rank={lora_rank}",
            f"context={context}",
            f"log_folder={log_folder}",
        ]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Start it and wait until it can be used; its address. Raises `RolloutError`."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        log.info("starting a vLLM server; %s says how far it is", self.log_file)
        began = time.monotonic()
        command = [sys.executable, "-m", "tersely.rollout.serve", *self._options]
        with self.log_file.open("w") as errors:
            process = self._process = subprocess.Popen(
                keeper_command(command, GRACE_S),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, TOKEN_VARIABLE: own_server_token()},
            )
        said = _first_line(process)
        if not said.startswith("rollout.workers="):
            self.stop()
            reason = " ".join(self.log_file.read_text().partition("\nError: ")[2].split())
            raise RolloutError(f"the vLLM server of this run did not start: {reason}")
        log.info("the vLLM server can be used after %.0f s", time.monotonic() - began)
        return said.partition("=")[2].strip(" []\n")

    def wait(self) -> None:
        """Return when it has ended, by itself or by `stop`."""
        process = self._process
        if process is not None:
            process.wait()

    def stop(self) -> None:
        """End it, if it runs. Another thread's `start` then raises."""
        process, self._process = self._process, None
        if process is not None:
            end(process, GRACE_S)


def _first_line(process: "subprocess.Popen[str]") -> str:
    """What a process says first, "" if it ended without a word. Says in the log that it waits."""
    assert process.stdout is not None
    began = time.monotonic()
    with process.stdout, selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not selector.select(LINE_EVERY_S):
            log.info("the vLLM server is starting, %.0f s so far", time.monotonic() - began)
        return process.stdout.readline()
