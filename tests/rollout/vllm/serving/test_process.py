import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tersely.errors import RolloutError
from tersely.rollout.vllm.serving.process import ServerProcess, failures, health
from tersely.rollout.vllm.serving.supervise import reserve


def python(program: str, tmp_path: Path) -> ServerProcess:
    return ServerProcess([sys.executable, "-c", program], os.environ, tmp_path, tmp_path / "log")


def free_port() -> int:
    with reserve("127.0.0.1", 0) as reservation:
        return int(reservation.getsockname()[1])


def test_the_cause_comes_before_what_it_took_along() -> None:
    """Without what vLLM puts before each line, once each, and at most three."""
    engine = "(EngineCore pid=20) ERROR 11-21 18:04:37 [core.py:1510]"
    log = [
        "(APIServer pid=19) INFO 11-21 18:04:30 [model.py:5] Resolved architecture: Qwen2",
        f"{engine} Traceback (most recent call last):",
        f'{engine}   File "core.py", line 1, in run',
        f"{engine} torch.OutOfMemoryError: no room for 7 GiB",
        "torch.OutOfMemoryError: no room for 7 GiB",
        "(APIServer pid=19) RuntimeError: Engine core initialization failed.",
    ]
    expected = [
        "torch.OutOfMemoryError: no room for 7 GiB",
        "RuntimeError: Engine core initialization failed.",
    ]
    assert expected == failures(log)
    assert 3 == len(failures([f"ValueError: {number}" for number in range(9)]))


def test_a_wrong_flag_is_told() -> None:
    log = ["usage: api_server.py [-h]", "api_server.py: error: unrecognized arguments: --x"]
    assert log[1:] == failures(log)


def test_where_nothing_is_told_it_is_the_last_line() -> None:
    assert ["Killed"] == failures(["(APIServer pid=19) INFO 11-21 18:04:30 [a.py:5] b", "Killed"])


def test_a_server_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    process = python("import time; print('loading', flush=True); time.sleep(600)", tmp_path)
    try:
        with pytest.raises(RolloutError, match=r"within timeout_s=2 seconds.*: loading"):
            process.wait_until_healthy("127.0.0.1", free_port(), 2)
    finally:
        process.stop()
    assert 128 + 15 == process.exit_code()


def test_one_that_ends_says_why(tmp_path: Path) -> None:
    """From its own lines: those of an earlier start stand above them in the same log."""
    (tmp_path / "log").write_text("ValueError: of yesterday\n")
    process = python("raise ValueError('of today')", tmp_path)
    with pytest.raises(RolloutError) as raised:
        process.wait_until_healthy("127.0.0.1", free_port(), 30)
    assert "starting: ValueError: of today (exit code 1" in str(raised.value)
    assert "yesterday" not in str(raised.value)


def test_who_speaks_no_http_is_not_healthy() -> None:
    """Nor is a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            connection, _ = other.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.close()

        greeting = threading.Thread(target=greet)
        greeting.start()
        assert None is health("127.0.0.1", other.getsockname()[1])
        greeting.join()
    assert None is health("127.0.0.1", free_port())


def test_another_server_is_not_taken_for_the_own_one(tmp_path: Path) -> None:
    """It would be sampled from, with whatever weights it has."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    process = python("import time; time.sleep(600)", tmp_path)
    with HTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever).start()
        try:
            assert "" == health("127.0.0.1", other.server_port)
            with pytest.raises(RolloutError, match="another server answers on port"):
                process.wait_until_healthy("127.0.0.1", other.server_port, 30)
        finally:
            process.stop()
            other.shutdown()
