"""One seed, many independent keys.

A key depends on the seed, a purpose and a step, and on nothing that happened before: a run can
be entered at any step and draws the same numbers.
"""

import hashlib


def derive(seed: int, purpose: str, *indices: int) -> int:
    """A 63-bit integer for `purpose` (data, rollout, init, ...) at `indices` (step, prompt, ...).

    The same on every machine and Python version: the first eight bytes of a BLAKE2b digest.
    """
    text = "/".join([str(seed), purpose, *map(str, indices)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
