"""A server that goes on: started again when it ended, and with other weights when they came."""

import json
import logging
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tersely.errors import ConfigError, RolloutError
from tersely.rollout.vllm.serving.command import (
    WORKER_PACKAGE,
    arguments,
    check,
    environment,
    read_config,
)
from tersely.rollout.vllm.serving.interpreter import ask
from tersely.rollout.vllm.serving.options import ServeOptions
from tersely.rollout.vllm.serving.process import ServerProcess
from tersely.rollout.vllm.serving.worker_side.fetching import sweep_copies
from tersely.rollout.vllm.serving.worker_side.leftovers import make

log = logging.getLogger(__name__)

POLL_S = 0.2
SERVED_NAME = "policy"
"""What requests call the model that the server was started with."""
RESTART_NOTE = "restart.json"
"""What the worker side leaves when it wants other weights to be served."""
DEATHS = 5
"""A server that ended as often, each time within `SETTLED_S`, is given up."""
SETTLED_S = 60.0
ANSWERING_S = 0.5
"""Seconds for which the server is left alone after a note, to answer who asked for it."""
BACK_OFF_S = (1.0, 30.0)
"""Seconds before the second start, doubled for each further one, and the most of them."""


class Wanted(NamedTuple):
    """What a server is to serve."""

    model: Path
    name: str


class Supervisor:
    """The server on one port, from its first start to its end."""

    def __init__(self, options: ServeOptions, model: Path, folder: Path) -> None:
        """`model` is a checkpoint folder, `folder` one for notes and for the worker side's code.

        Raises `ConfigError` or `ModelError` for what would fail later.
        """
        self._options, self._folder = options, folder
        self._original = Wanted(model.absolute(), SERVED_NAME)
        self._config = read_config(model)
        self._installed = ask(options.python)
        check(self._config, options, self._installed.platform)
        self._reservation = reserve(options.host, options.port)
        self.port = int(self._reservation.getsockname()[1])
        if sys.platform != "linux":
            self._reservation.close()  # or the server could not have it
        self._log_file = Path(options.log_folder).absolute() / f"vllm-{self.port}.log"
        _copy_worker_side(folder)
        self._process: ServerProcess | None = None
        self._deaths = 0

    def start(self) -> None:
        """Start the server and wait until it answers. Raises `RolloutError`."""
        log.info(
            "starting vLLM %s on %s for %s; its log goes to %s",
            self._installed.version,
            self._installed.platform.value,
            self._original.model,
            self._log_file,
        )
        self._start(self._original)

    def watch(self) -> None:
        """Keep it going. Raises `RolloutError` once it cannot be kept going."""
        while True:
            time.sleep(POLL_S)
            wanted = self._wanted()
            if wanted is not None:
                self._restart_with(wanted)
            elif self._process is None or self._process.exit_code() is not None:
                self._revive()
            elif time.monotonic() - self._ready > SETTLED_S:
                self._deaths = 0

    def close(self) -> None:
        """End the server, if there is one, and give back its port."""
        self._stop()
        self._reservation.close()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _start(self, wanted: Wanted) -> None:
        options, installed = self._options, self._installed
        self._process = ServerProcess(
            arguments(
                installed,
                self._config,
                options,
                model=wanted.model,
                name=wanted.name,
                port=self.port,
            ),
            environment(installed, folder=self._folder, outer=os.environ),
            self._folder,
            self._log_file,
        )
        began = time.monotonic()
        self._process.wait_until_healthy(own_address(options.host), self.port, options.timeout_s)
        self._ready = time.monotonic()
        log.info("the server answers after %.0f s", self._ready - began)

    def _restart_with(self, wanted: Wanted) -> None:
        log.info("starting the server again with %s", wanted.name)
        time.sleep(ANSWERING_S)
        self._stop()
        try:
            self._start(wanted)
        except RolloutError as error:
            log.warning("%s cannot be served: %s", wanted.name, error)
            self._stop()

    def _revive(self) -> None:
        if self._process is not None:
            log.warning("the server ended: %s", self._process.last_words())
        while True:
            self._stop()
            self._deaths += 1
            if self._deaths >= DEATHS:
                raise RolloutError(
                    f"the server ended {self._deaths} times soon after its start, and is given "
                    f"up; {self._log_file} says why"
                )
            first, most = BACK_OFF_S
            time.sleep(min(first * 2 ** (self._deaths - 1), most))
            log.info("starting it again with the weights that it had at first")
            try:
                return self._start(self._original)
            except RolloutError as error:
                log.warning("%s", error)

    def _wanted(self) -> Wanted | None:
        """What the worker side asks for, once."""
        note = self._folder / RESTART_NOTE
        try:
            said = json.loads(note.read_text())
        except FileNotFoundError:
            return None
        note.unlink()
        return Wanted(Path(said["model"]), said["name"])


@contextmanager
def serving_folder() -> Iterator[Path]:
    """A folder for one serve, which only its user can read. What killed ones left is removed."""
    sweep_copies()  # a worker that was killed may be the last one for a long time
    folder = make(Path(tempfile.gettempdir()), "tersely-serve-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def reserve(host: str, port: int) -> socket.socket:
    """A socket that has `port`, or a free one if that is 0. Raises `ConfigError` where it cannot
    be had.

    On Linux nobody else is given it as a free one while the socket is open, and a server that asks
    for it by number still gets it, because it sets SO_REUSEADDR too.
    """
    reservation = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reservation.bind((host, port))
    except OSError as error:
        reservation.close()
        raise ConfigError(
            f"port={port} on host={host} cannot be had ({error.strerror}); another server may be "
            "using it; set another port, or port=0 for a free one"
        ) from error
    return reservation


def own_address(host: str) -> str:
    """Where this machine itself reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _copy_worker_side(folder: Path) -> None:
    # A package of its own, because the server's environment has no Tersely.
    shutil.copytree(
        Path(__file__).parent / "worker_side",
        folder / "python" / WORKER_PACKAGE,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
