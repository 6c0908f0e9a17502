"""The fingerprint of the reference, on real models."""

from collections.abc import Callable
from dataclasses import replace

import mlx.core as mx
from watched_stages import a_setting, a_step

from tersely.policy.load import Policy
from tersely.training.checks.reference import ReferenceMoved, fingerprint


def test_it_is_of_all_arrays_to_the_bit(policy: Policy) -> None:
    """One number of the last array, moved to the next float32."""
    other = policy.twin()
    assert fingerprint(policy.model) == fingerprint(other)
    norm = other.model.layers[-1].parameters()
    name, weight = next(
        (name, value["weight"])
        for name, value in norm.items()
        if name.endswith("layernorm") or name.endswith("norm")
    )
    moved = mx.concatenate([weight[:1] * (1 + 2e-7), weight[1:]])
    getattr(other.model.layers[-1], name).weight = moved
    assert fingerprint(policy.model) != fingerprint(other)


def test_a_resumed_run_compares_with_the_first_process_at_its_first_step(
    eager: Callable[..., Policy],
) -> None:
    """Step 7 is no step at which a process that went on would have looked."""
    reference, other = eager().reference(), eager("speck").reference()
    first = ReferenceMoved(a_setting())
    assert first.look(replace(a_step(6), reference=reference)) is None

    same, changed = ReferenceMoved(a_setting()), ReferenceMoved(a_setting())
    for check in (same, changed):
        check.restore(first.state())

    assert same.look(replace(a_step(7), reference=reference)) is None
    assert "is not what it was" in str(changed.look(replace(a_step(7), reference=other)))


def test_bfloat16_has_one_too(policy: Policy) -> None:
    whole = fingerprint(policy.model)
    policy.model.set_dtype(mx.bfloat16)
    assert whole != fingerprint(policy.model)
