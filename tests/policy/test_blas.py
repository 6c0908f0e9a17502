"""The fast BLAS, in processes of their own: it has to come before MLX."""

import ctypes
import json
import logging
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tersely
from tersely.policy import blas
from tersely.policy.blas import OPENBLAS, load_fast_blas

SOURCES = str(Path(tersely.__file__).parents[1])


def openblas_is_here() -> bool:
    try:
        ctypes.CDLL(OPENBLAS)
    except OSError:
        return False
    return platform.system() == "Linux"


needs_openblas = pytest.mark.skipif(not openblas_is_here(), reason=f"no {OPENBLAS} here")


def in_process(code: str, **variables: str) -> Any:
    """What `code` prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"PYTHONPATH": SOURCES} | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


@needs_openblas
def test_mlx_computes_on_openblas_once_it_is_loaded(tmp_path: Path) -> None:
    """The loader itself says to which library it binds MLX's product, and the product is right.

    [[1 2] [3 4]] [[5 6] [7 8]] = [[19 22] [43 50]].
    """
    product = in_process(
        """
import json
from tersely.policy.blas import load_fast_blas
load_fast_blas()
import mlx.core as mx
print(json.dumps((mx.array([[1.0, 2], [3, 4]]) @ mx.array([[5.0, 6], [7, 8]])).tolist()))
""",
        LD_DEBUG="bindings",
        LD_DEBUG_OUTPUT=str(tmp_path / "loader"),
    )
    assert [[19, 22], [43, 50]] == product
    log = "".join(path.read_text() for path in tmp_path.iterdir())
    bindings = [line for line in log.splitlines() if "`cblas_sgemm'" in line and "libmlx" in line]
    assert bindings
    assert all(OPENBLAS in line for line in bindings)


@needs_openblas
def test_threads_that_compute_at_once_share_the_processors() -> None:
    """Sampler and update would wait for each other if each product took every processor."""
    alone, shared, crowded = in_process("""
import ctypes, json
from tersely.policy.blas import OPENBLAS, load_fast_blas
threads = []
for callers in (1, 2, 10_000):
    load_fast_blas(callers)
    threads.append(ctypes.CDLL(OPENBLAS).openblas_get_num_threads())
print(json.dumps(threads))
""")
    processors = len(os.sched_getaffinity(0))
    assert processors == alone
    assert max(1, processors // 2) == shared
    assert 1 == crowded


@needs_openblas
@pytest.mark.parametrize("share", ["1", "10000", "0", "all"])
def test_jobs_beside_each_other_take_their_share(share: str) -> None:
    """joblib sets the variable in each process that runs jobs; what is no number of threads
    says nothing, and no more than all can be had."""
    threads = in_process(
        """
import ctypes, json
from tersely.policy.blas import OPENBLAS, load_fast_blas
load_fast_blas()
print(json.dumps(ctypes.CDLL(OPENBLAS).openblas_get_num_threads()))
""",
        OPENBLAS_NUM_THREADS=share,
    )
    processors = len(os.sched_getaffinity(0))
    assert {"1": 1, "10000": processors, "0": processors, "all": processors}[share] == threads


@needs_openblas
def test_it_is_said_once_and_not_done_after_mlx() -> None:
    """Symbols that are bound stay bound, so a claim after the import would be false."""
    before, after, said = in_process("""
import json, logging
said = []
class Keep(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logging.getLogger().addHandler(Keep())
logging.getLogger().setLevel(logging.INFO)
from tersely.policy.blas import load_fast_blas
before = load_fast_blas()
import mlx.core
after = load_fast_blas()
print(json.dumps([before, after, said]))
""")
    assert (True, False) == (before, after)
    assert 1 == len(said)
    assert "OpenBLAS" in said[0]


def test_where_it_is_missing_the_log_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Training goes on, slowly, and one line says why."""
    monkeypatch.setattr(blas, "OPENBLAS", "libno_such_blas.so.0")
    monkeypatch.delitem(sys.modules, "mlx.core", raising=False)
    monkeypatch.setattr(platform, "system", lambda: "Linux")

    assert not load_fast_blas()

    (line,) = [record.getMessage() for record in caplog.records]
    assert "apt-get install libopenblas0" in line


def test_a_mac_needs_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with caplog.at_level(logging.DEBUG):
        assert not load_fast_blas()
    assert [] == caplog.records
