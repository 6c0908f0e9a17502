"""Load a fast BLAS into the process, before MLX, on Linux without a GPU.

MLX's Linux CPU wheel carries the reference BLAS (about 7 GFLOP/s on two cores). A library that
is loaded globally first answers for the same symbols, and OpenBLAS runs float32 products at
about 200 GFLOP/s there. MLX's own products in bfloat16 and float16 never pass
through BLAS; `products.py` sends bfloat16 there.
"""

import ctypes
import logging
import os
import platform
import sys

log = logging.getLogger(__name__)

OPENBLAS = "libopenblas.so.0"


def load_fast_blas(callers: int = 1) -> bool:
    """Make OpenBLAS answer MLX's float32 products where that helps; say so once in the log.

    `callers` is how many threads will compute at once; each product may use that share of the
    processors; a later call changes that. Returns whether MLX will use it: only a call before
    `mlx.core` is first imported can bring that about, symbols that are bound stay bound.
    """
    if platform.system() != "Linux":
        return False
    first = "mlx.core" not in sys.modules
    try:
        library = ctypes.CDLL(OPENBLAS, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        log.warning(
            "%s is not on this system, so MLX computes on its slow built-in BLAS; "
            "`apt-get install libopenblas0` makes training many times faster",
            OPENBLAS,
        )
        return False
    # Products of two threads that both want every processor wait for each other.
    threads = max(1, processors() // callers)
    library.openblas_set_num_threads(threads)
    if first:
        each = "1 processor" if threads == 1 else f"{threads} processors"
        log.info("float32 products on the CPU run on OpenBLAS, each on %s", each)
    return first


def processors() -> int:
    """How many this process may use. Where jobs run beside each other, joblib gives each its share
    in OpenBLAS's own variable, which counts for nothing once a number of threads is set."""
    here = len(os.sched_getaffinity(0))
    share = os.environ.get("OPENBLAS_NUM_THREADS", "")
    return min(here, int(share) or here) if share.isdecimal() else here
