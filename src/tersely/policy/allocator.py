"""Keep freed memory in the process, on Linux.

MLX on a CPU takes each array from `malloc` and gives it back when it is done. glibc returns large
blocks to the kernel at once, which has to hand them out again page by page, each cleared: at the
shape of Qwen2.5-0.5B an update spent a third of its time on that. Told to keep them, the process
holds on to its peak memory and meets pages that it has used before.
"""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
"""Parameters of glibc's `mallopt`, from its `malloc.h`."""


def keep_freed_memory() -> bool:
    """Tell glibc to use freed memory again; returns whether it will. Call it early: blocks that
    are already out stay as they are."""
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {
        M_MMAP_MAX: 0,  # no block is a mapping of its own
        M_TRIM_THRESHOLD: -1,  # the heap never shrinks
        # One heap for all threads: those of other threads are too small for large blocks.
        M_ARENA_MAX: 1,
    }
    return all([mallopt(parameter, value) == 1 for parameter, value in settings.items()])
