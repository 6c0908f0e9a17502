"""`python -m tersely.rollout.serve model=... port=8000`: a vLLM server for a trainer.

Standard output gets one line, when the server can be used; all else is logged to standard error.
Exit codes: 0 after Ctrl-C or SIGTERM, 1 for a defect, 2 for something that the user can mend, said
in one paragraph.
"""

import logging
import signal
import socket
import sys
import textwrap
from contextlib import closing
from pathlib import Path

from tersely.errors import TerselyError
from tersely.policy.load import TINY, HubModelConfig
from tersely.rollout.vllm.serving.options import ServeOptions, help_text, parse
from tersely.rollout.vllm.serving.supervise import Supervisor, serving_folder

READY = "rollout.workers="
"""How the line begins that says that the server can be used."""


def main(arguments: list[str]) -> None:
    """Serve until told to end."""
    if {"-h", "--help"} & set(arguments):
        print(help_text())
        return
    logging.basicConfig(format="%(asctime)s serve: %(message)s", level=logging.INFO)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        serve(parse(arguments))
    except TerselyError as error:
        paragraph = textwrap.fill(f"Error: {error}", width=96, break_on_hyphens=False)
        print(f"\n{paragraph}\n", file=sys.stderr)
        raise SystemExit(2) from error


def serve(options: ServeOptions) -> None:
    """Serve as `options` say; returns only by an exception."""
    model = checkpoint(options.model)
    with serving_folder() as folder, closing(Supervisor(options, model, folder)) as supervisor:
        supervisor.start()
        address = f"http://{reachable(options.host)}:{supervisor.port}"
        print(f"{READY}[{address}]", flush=True)
        supervisor.watch()


def checkpoint(model: str) -> Path:
    """The folder of a checkpoint that `model=` names. Raises `ModelError`."""
    if model == "tiny":
        return TINY
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    return HubModelConfig(model).folder()


def reachable(host: str) -> str:
    """The address under which others find a server that listens on `host`."""
    if host not in ("0.0.0.0", "::"):
        return f"[{host}]" if ":" in host else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; picks the way out (RFC 5737)
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _leave(number: int, frame: object) -> None:
    # Once: a second Ctrl-C must not keep the server from being stopped.
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
