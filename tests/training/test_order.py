"""Which prompts each step trains on."""

from collections import Counter
from collections.abc import Sequence

import pytest

from tersely.records import Prompt
from tersely.training.order import PromptOrder


@pytest.mark.parametrize("per_step", [1, 2, 3, 7, 10])
def test_each_epoch_is_a_permutation(per_step: int, prompts: Sequence[Prompt]) -> None:
    """Whatever the number of prompts a step: steps run on over the end of an epoch."""
    order = PromptOrder(prompts, per_step, seed=3)
    steps = [order(step) for step in range(28)]
    assert {per_step} == {len(chosen) for chosen in steps}

    walked = [prompt for chosen in steps for prompt in chosen]
    epochs = [walked[start : start + 7] for start in range(0, len(walked) - 6, 7)]

    assert all(Counter(epoch) == Counter(prompts) for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1


def test_a_step_depends_on_nothing_but_its_number(prompts: Sequence[Prompt]) -> None:
    """A run can be entered anywhere, and another seed is another order."""
    order = PromptOrder(prompts, 2, seed=3)
    forwards = [order(step) for step in range(20)]

    assert forwards[::-1] == [PromptOrder(prompts, 2, seed=3)(step) for step in range(19, -1, -1)]
    assert forwards != [PromptOrder(prompts, 2, seed=4)(step) for step in range(20)]


def test_more_prompts_a_step_go_the_same_way(prompts: Sequence[Prompt]) -> None:
    """Two steps of 2 train on what one step of 4 trains on."""
    twos, four = PromptOrder(prompts, 2, seed=3), PromptOrder(prompts, 4, seed=3)
    assert four(5) == twos(10) + twos(11)
