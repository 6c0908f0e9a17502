"""Where a stage stands between two of its steps: all that going on from there depends on.

Keys of random numbers and the place in the data follow from the step, see `seeds.py` and
`order.py`. So what there is to keep are arrays, the rollouts that older weights have sampled, and
what counts over steps.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx

from tersely.records import Batch, Group, Prompt, Rollout
from tersely.rollout.prefetch import Sampled
from tersely.training.manifest import forget

ARRAYS, REST = "training_state.safetensors", "training_state.json"


@dataclass(frozen=True)
class TrainingState:
    """A stage after `step` of its steps."""

    stage: str
    step: int
    arrays: Mapping[str, mx.array]
    """Weights as they are kept, and the optimizer's; see `Weights.arrays`."""
    in_flight: Sequence[Sampled] = ()
    """The batches of the next steps, as far as weights have sampled them that are no more."""
    history: Mapping[str, Any] = field(default_factory=dict)
    """What counts over steps, as JSON values, by who counts."""


def write_state(state: TrainingState, folder: Path) -> None:
    """Two files; floats are kept to the bit."""
    mx.save_safetensors(str(folder / ARRAYS), dict(state.arrays))
    rest = {
        "stage": state.stage,
        "step": state.step,
        "in_flight": [_plain(each) for each in state.in_flight],
        "history": state.history,
    }
    (folder / REST).write_text(json.dumps(rest) + "\n", encoding="utf-8")


def remove_state(folder: Path) -> None:
    """Leave the policy alone: nobody goes on from here any more."""
    forget(folder, (ARRAYS, REST))


def stage_of(folder: Path) -> str | None:
    """The stage whose state is in `folder`; None where there is none."""
    file = folder / REST
    return str(json.loads(file.read_text(encoding="utf-8"))["stage"]) if file.exists() else None


def read_state(folder: Path, prompts_of: Callable[[int], Sequence[Prompt]]) -> TrainingState:
    """What `write_state` wrote; `prompts_of(step)` gives the prompts of the batches in flight."""
    rest = json.loads((folder / REST).read_text(encoding="utf-8"))
    arrays = mx.load(str(folder / ARRAYS))
    assert isinstance(arrays, dict)
    return TrainingState(
        stage=rest["stage"],
        step=rest["step"],
        arrays=arrays,
        in_flight=tuple(_sampled(each, prompts_of) for each in rest["in_flight"]),
        history=rest["history"],
    )


def _plain(sampled: Sampled) -> dict[str, Any]:
    groups = [[asdict(rollout) for rollout in group.rollouts] for group in sampled.batch.groups]
    return {**sampled._asdict(), "batch": {"step": sampled.batch.step, "groups": groups}}


def _sampled(plain: dict[str, Any], prompts_of: Callable[[int], Sequence[Prompt]]) -> Sampled:
    step = plain["batch"]["step"]
    groups = tuple(
        Group(prompt, tuple(map(_rollout, rollouts)))
        for prompt, rollouts in zip(prompts_of(step), plain["batch"]["groups"], strict=True)
    )
    return Sampled(**{**plain, "batch": Batch(step, groups)})


def _rollout(plain: dict[str, Any]) -> Rollout:
    ids, logprobs = tuple(plain["token_ids"]), tuple(plain["sampler_logprobs"])
    return Rollout(**{**plain, "token_ids": ids, "sampler_logprobs": logprobs})
