"""A stage that ends in the middle goes on, in another process's place, to the same end."""

import json
import math
import os
import shutil
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from tersely.errors import RolloutError, RunStopped, TrainingDiverged
from tersely.objective.advantages import ZScoreConfig
from tersely.objective.config import GrpoConfig
from tersely.objective.correction_config import CorrectionConfig, NoCorrection, TisConfig
from tersely.policy.load import Policy, load_policy
from tersely.policy.tuning import FullConfig, LoraConfig, TuningConfig
from tersely.records import Group, Prompt
from tersely.rewards.length import LengthConfig
from tersely.rewards.mixture import Mixture, Term
from tersely.rollout.local import LocalConfig
from tersely.rollout.sampler import Sampler, Snapshot
from tersely.training.checkpoints import Checkpoints
from tersely.training.config import Precision, Schedule, TrainerConfig
from tersely.training.lifeline import StageLifeline
from tersely.training.trainer import train
from tersely.training.validation import Validation

Load = Callable[..., Policy]
STEPS, SEED = 7, 5
TIMED = ("time/", "speed/", "memory/")


class Died(Exception):
    """What stands for the end of a process."""


class Steps:
    """A reporter that keeps each step, and dies after one of them."""

    def __init__(self, last: int | None = None, then: Callable[[], None] | None = None) -> None:
        self.metrics: dict[int, dict[str, float]] = {}
        self._last, self._then = last, then

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        assert step not in self.metrics, "a step is reported once"
        self.metrics[step] = {k: v for k, v in metrics.items() if not k.startswith(TIMED)}
        if step == self._last:
            if self._then is None:
                raise Died
            self._then()


def go(
    policy: Policy,
    prompts: Sequence[Prompt],
    folder: Path,
    reporter: Steps,
    *,
    rollout: Mapping[str, Any] | None = None,
    tuning: TuningConfig | None = None,
    correction: CorrectionConfig | None = None,
    sampler: Callable[[Sampler], Sampler] = lambda sampler: sampler,
    extra: Term | None = None,
    look: Callable[[], Mapping[str, float]] = dict,
    **trainer: Any,
) -> Checkpoints:
    """One process of a stage, as `run.py` has it."""
    policy.attach(tuning or FullConfig(), seed=1)
    configured = TrainerConfig(
        **{
            "steps": STEPS,
            "prompts_per_step": 2,
            "learning_rate": 3e-3,
            "schedule": Schedule.cosine,
            "save_every": 2,
        }
        | trainer
    )
    sampling = LocalConfig(**{"group_size": 4, "max_tokens": 12, **(rollout or {})})
    checkpoints = Checkpoints(folder / "checkpoints", configured.keep_last)
    train(
        policy,
        prompts,
        Mixture((LengthConfig(target=8).build(), *([extra] if extra else []))),
        sampler(sampling.build(policy, SEED)),
        trainer=configured,
        rollout=sampling,
        advantage=ZScoreConfig(),
        loss=GrpoConfig(beta=0.02),
        correction=correction or NoCorrection(),
        seed=SEED,
        reporter=reporter,
        skipped=folder / "skipped",
        lifeline=StageLifeline(
            policy,
            checkpoints,
            configured,
            stage="joint",
            first_step=0,
            validation=Validation(
                configured, look, lambda step: checkpoints.keep_best(policy, "joint", step)
            ),
        ),
    )
    policy.merge()
    return checkpoints


def same(one: Policy, other: Policy) -> bool:
    pairs = zip(tree_flatten(one.parameters()), tree_flatten(other.parameters()), strict=True)
    return all(mx.array_equal(a, b).item() for (_, a), (_, b) in pairs)


SETTINGS: dict[str, dict[str, Any]] = {
    "in turn": {"rollout": {"max_staleness": 0}},
    "one update behind": {},
    "several behind": {"rollout": {"max_staleness": 4, "sync_every": 3}, "correction": TisConfig()},
    "several updates a step": {"inner_updates": 2, "mini_batches": 2},
    "float32 masters": {"precision": Precision.bf16_master},
    "rounded by chance": {"precision": Precision.bf16_stochastic},
    "bfloat16": {"precision": Precision.bf16},
    "adapters": {"tuning": LoraConfig(rank=4)},
    "adapters of the last layer": {
        "tuning": LoraConfig(rank=4, layers=1),
        "precision": Precision.bf16_master,
    },
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_it_ends_with_the_same_weights_and_metrics(
    settings: dict[str, Any], eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    """Ended twice: after step 3, whose checkpoint is that of step 2, and after step 6, just
    before its own."""
    whole, resumed = eager(), None
    uninterrupted = Steps()
    go(whole, prompts, tmp_path / "whole", uninterrupted, **settings)

    seen: dict[int, dict[str, float]] = {}
    for last in (3, 6, None):
        resumed, reporter = eager(), Steps(last)
        try:
            go(resumed, prompts, tmp_path / "resumed", reporter, **settings)
        except Died:
            assert last is not None
        for step, metrics in reporter.metrics.items():
            assert uninterrupted.metrics[step] == metrics
        seen |= reporter.metrics
        assert {3: 1, 6: 3, None: 5}[last] == min(reporter.metrics)

    assert list(range(1, STEPS + 1)) == sorted(seen)
    assert resumed is not None and same(whole, resumed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_is_met_after_the_step(
    number: signal.Signals, eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    whole, resumed = eager(), eager()
    go(whole, prompts, tmp_path / "whole", Steps())

    asked = Steps(3, lambda: os.kill(os.getpid(), number))
    with pytest.raises(RunStopped, match=r"after step 3.*step_000003") as stopped:
        go(eager(), prompts, tmp_path / "resumed", asked)
    rest = Steps()
    go(resumed, prompts, tmp_path / "resumed", rest)

    assert number == stopped.value.number
    assert [1, 2, 3] == sorted(asked.metrics)
    assert [4, 5, 6, 7] == sorted(rest.metrics)
    assert same(whole, resumed)


def test_a_request_to_stop_that_comes_with_the_last_step_keeps_it(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    whole, resumed = eager(), eager()
    go(whole, prompts, tmp_path / "whole", Steps())

    with pytest.raises(RunStopped):
        go(
            eager(),
            prompts,
            tmp_path / "resumed",
            Steps(STEPS, lambda: os.kill(os.getpid(), signal.SIGTERM)),
        )
    rest = Steps()
    go(resumed, prompts, tmp_path / "resumed", rest)

    assert {} == rest.metrics
    assert same(whole, resumed)


def test_a_second_interrupt_stops_at_once(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not the first one repeated, as `timeout` does within an instant."""
    monkeypatch.setattr("tersely.training.stopping.ONE_REQUEST_S", 0.0)

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as raised:
        go(eager(), prompts, tmp_path, Steps(3, twice))

    assert not isinstance(raised.value, RunStopped)
    assert ["step_000002"] == sorted(path.name for path in tmp_path.glob("checkpoints/step_*"))
    assert signal.default_int_handler is signal.getsignal(signal.SIGINT)


class Failing(Sampler):
    """Workers that are down from a step on."""

    def __init__(self, inner: Sampler, step: int) -> None:
        self._inner, self._step = inner, step

    def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> tuple[Group, ...]:
        if step >= self._step:
            raise RolloutError("nobody answers.")
        return self._inner.sample(prompts, snapshot, step)


def test_without_workers_what_is_learned_is_kept(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    """Sampling step 6 fails. The rollouts of step 5 were there by then, and are kept; those of
    step 6 are sampled by the weights with which the run goes on."""
    with pytest.raises(RolloutError, match=r"nobody answers\. The run can go on after step \d"):
        go(
            eager(),
            prompts,
            tmp_path,
            Steps(),
            sampler=lambda inner: Failing(inner, 5),
            save_every=None,
        )
    rest = Steps()
    go(eager(), prompts, tmp_path, rest, save_every=None)

    first = min(rest.metrics)
    assert {5: 1.0, 6: 0.0}[first] == rest.metrics[first]["rollout/staleness"]
    assert STEPS == max(rest.metrics)


def test_a_run_that_finds_no_workers_leaves_its_checkpoint_as_it_was(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    """Its rollouts in flight are what a poorer one would lack."""
    with pytest.raises(Died):
        go(eager(), prompts, tmp_path, Steps(3))
    state = tmp_path / "checkpoints" / "step_000002" / "training_state.json"
    before = state.read_text()

    with pytest.raises(RolloutError, match="nobody answers"):
        go(eager(), prompts, tmp_path, Steps(), sampler=lambda inner: Failing(inner, 0))

    assert before == state.read_text()
    assert len(json.loads(before)["in_flight"]) == 1


def test_a_reward_that_is_no_number_loses_no_step(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    """At step 4, whose rollouts are scored again when the run goes on."""
    whole, resumed = eager(), eager()
    go(whole, prompts, tmp_path / "whole", Steps())
    groups = 0

    def broken(group: Group) -> list[float]:
        nonlocal groups
        groups += 1
        return [math.nan if groups > 3 * 2 else 0.0] * len(group.rollouts)

    with pytest.raises(TrainingDiverged, match=r"broken.*can go on after step 3"):
        go(eager(), prompts, tmp_path / "it", Steps(), extra=Term("broken", 1.0, broken))
    rest = Steps()
    go(resumed, prompts, tmp_path / "it", rest)

    assert 4 == min(rest.metrics)
    assert same(whole, resumed)


class Impossible(Sampler):
    """From a step on, what it claims to have drawn for the last prompt is next to impossible, and
    a ratio to that is infinite."""

    def __init__(self, inner: Sampler, step: int) -> None:
        self._inner, self._step = inner, step

    def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> tuple[Group, ...]:
        *groups, last = self._inner.sample(prompts, snapshot, step)
        if step >= self._step:
            rollouts = (
                replace(each, sampler_logprobs=(-1e4,) * len(each.token_ids))
                for each in last.rollouts
            )
            last = replace(last, rollouts=tuple(rollouts))
        return (*groups, last)


def test_a_step_that_diverged_is_taken_again_and_counted_once(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    """The updates of steps 3 to 5 are left out, and the third is one too many. Whoever goes on
    stands after step 4, with two of them."""
    for _ in range(2):
        with pytest.raises(TrainingDiverged, match="3 updates in a row, up to step 5"):
            go(
                eager(),
                prompts,
                tmp_path,
                Steps(),
                sampler=lambda inner: Impossible(inner, 2),
                max_skipped_updates=2,
            )
    state = json.loads((tmp_path / "checkpoints/step_000004/training_state.json").read_text())
    assert {"in_a_row": 2, "total": 2} == state["history"]["skipped"]


def test_a_step_that_diverged_after_one_of_its_updates_is_not_kept(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    """The weights have the first update of step 4, which whoever goes on makes again: after step
    2, where a checkpoint was due."""
    whole, resumed, settings = eager(), eager(), {"mini_batches": 2}
    go(whole, prompts, tmp_path / "whole", Steps(), **settings)

    with pytest.raises(TrainingDiverged, match="1 updates in a row, up to step 4") as raised:
        go(
            eager(),
            prompts,
            tmp_path / "it",
            Steps(),
            sampler=lambda inner: Impossible(inner, 3),
            max_skipped_updates=0,
            **settings,
        )
    rest = Steps()
    go(resumed, prompts, tmp_path / "it", rest, **settings)

    assert "can go on" not in str(raised.value)
    assert 3 == min(rest.metrics)
    assert same(whole, resumed)


def test_a_request_to_stop_keeps_rollouts_that_are_late(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are waited for anyway where this process samples them: no thread can be ended."""
    monkeypatch.setattr("tersely.training.trainer.STOPPING_GRACE_S", 0.0)
    asked = threading.Event()

    class Late(Sampler):
        def __init__(self, inner: Sampler) -> None:
            self._inner = inner

        def sample(
            self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int
        ) -> tuple[Group, ...]:
            if step == 3:
                asked.wait(10)
            return self._inner.sample(prompts, snapshot, step)

        def close(self) -> None:
            asked.set()

    whole, resumed = eager(), eager()
    go(whole, prompts, tmp_path / "whole", Steps())
    with pytest.raises(RunStopped, match="after step 3"):
        go(
            eager(),
            prompts,
            tmp_path / "it",
            Steps(3, lambda: os.kill(os.getpid(), signal.SIGINT)),
            sampler=Late,
        )
    go(resumed, prompts, tmp_path / "it", Steps())
    assert same(whole, resumed)


def test_a_request_to_stop_outweighs_what_fails_with_it(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In a sweep a failure would begin the next job."""

    def ask_and_fail() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise RolloutError("nobody answers")

    with pytest.raises(RunStopped):
        go(eager(), prompts, tmp_path, Steps(3, ask_and_fail))
    assert "nobody answers" in caplog.text


def test_a_signal_that_is_ignored_stays_so(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    """As of a command that a script has put into the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    reporter = Steps(3, lambda: os.kill(os.getpid(), signal.SIGINT))
    try:
        go(eager(), prompts, tmp_path, reporter)
    finally:
        signal.signal(signal.SIGINT, before)
    assert STEPS == max(reporter.metrics)


def test_later_steps_of_a_past_that_is_gone_do_not_push_out_new_ones(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    """The newest, of step 6, is damaged, and with `keep_last=1` the only one."""
    with pytest.raises(Died):
        go(eager(), prompts, tmp_path, Steps(STEPS), keep_last=1)
    (tmp_path / "checkpoints" / "step_000006" / "config.json").unlink()

    with pytest.raises(Died):
        go(eager(), prompts, tmp_path, Steps(3), keep_last=1)

    kept = tmp_path / "checkpoints"
    assert ["step_000002"] == [path.name for path in kept.glob("step_*")]
    assert "step_000002" == os.readlink(kept / "latest")
    assert (kept / "damaged_step_000006").is_dir()


def test_a_checkpoint_that_was_moved_aside_for_a_newer_one_is_put_back(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    """The process died between two renames."""
    with pytest.raises(Died):
        go(eager(), prompts, tmp_path, Steps(3))
    kept = tmp_path / "checkpoints"
    (kept / "step_000002").rename(kept / ".step_000002-old")

    rest = Steps()
    go(eager(), prompts, tmp_path, rest)

    assert 3 == min(rest.metrics)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One byte of the optimizer's state is another one."""
    with pytest.raises(Died):
        go(eager(), prompts, tmp_path, Steps(5))
    newest = tmp_path / "checkpoints" / "step_000004" / "training_state.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)

    rest = Steps()
    go(eager(), prompts, tmp_path, rest)

    assert 3 == min(rest.metrics)
    assert "step_000004 is damaged" in caplog.text
    assert "training_state.safetensors is not as it was written" in caplog.text


@pytest.mark.parametrize("cut", ["manifest.json", "model.safetensors", "training_state.json"])
def test_a_checkpoint_that_lacks_a_file_or_its_end_is_damaged(
    cut: str, eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    with pytest.raises(Died):
        go(eager(), prompts, tmp_path, Steps(5))
    for folder, how in (("step_000004", "cut"), ("step_000002", "gone")):
        file = tmp_path / "checkpoints" / folder / cut
        if how == "gone":
            file.unlink()
        else:
            os.truncate(file, file.stat().st_size // 2)

    rest = Steps()
    go(eager(), prompts, tmp_path, rest)

    assert 1 == min(rest.metrics)


def test_what_a_killed_process_was_just_writing_is_removed(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    with pytest.raises(Died):
        go(eager(), prompts, tmp_path, Steps(5))
    half = tmp_path / "checkpoints" / ".step_000006-abcdef"
    shutil.copytree(tmp_path / "checkpoints" / "step_000004", half)

    go(eager(), prompts, tmp_path, Steps())

    assert not half.exists()


def test_the_last_ones_are_kept_and_latest_is_a_policy(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    policy = eager()
    kept = go(policy, prompts, tmp_path, Steps(), keep_last=2)
    latest = load_policy(kept.folder / "latest")

    assert ["step_000004", "step_000006"] == sorted(p.name for p in kept.folder.glob("step_*"))
    assert "step_000006" == os.readlink(kept.folder / "latest")
    assert not same(policy, latest), "one more step came after it"

    kept.finish(policy)
    assert "final" == os.readlink(kept.folder / "latest")
    assert same(policy, load_policy(kept.folder / "latest"))
    assert [] == list(kept.folder.glob("step_*/training_state*"))
    assert load_policy(kept.folder / "step_000006").context_length() == policy.context_length()


def test_the_best_by_validation_is_kept_and_patience_ends_the_stage(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    """Looks after steps 1 to 4 measure 0.2, 0.5, 0.4, 0.5: the second is the best, because as good
    is not better, and two looks later the stage ends. Ended in between, it counts on."""
    whole = iter([0.2, 0.5, 0.4, 0.5])
    first, second = iter([0.2, 0.5, 0.4]), iter([0.4, 0.5])
    settings: dict[str, Any] = {"evaluate_every": 1, "best_by": "rouge_l", "patience": 2}

    reporter = Steps()
    go(
        eager(),
        prompts,
        tmp_path / "whole",
        reporter,
        look=lambda: {"rouge_l": next(whole)},
        **settings,
    )
    with pytest.raises(Died):
        go(
            eager(),
            prompts,
            tmp_path / "resumed",
            Steps(3),
            look=lambda: {"rouge_l": next(first)},
            **settings,
        )
    rest = Steps()
    kept = go(
        eager(),
        prompts,
        tmp_path / "resumed",
        rest,
        look=lambda: {"rouge_l": next(second)},
        **settings,
    )

    assert [0.2, 0.5, 0.4, 0.5] == [m["validation/rouge_l"] for m in reporter.metrics.values()]
    assert [3, 4] == sorted(rest.metrics)
    best = load_policy(kept.folder / "best")
    assert same(best, load_policy(kept.folder / "step_000002"))
    assert same(best, load_policy(tmp_path / "whole" / "checkpoints" / "best"))


def test_a_full_disk_does_not_end_the_training(
    eager: Load,
    prompts: Sequence[Prompt],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Files above 100 kB cannot be written while checkpoints 4 and 6 are due."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        kept = go(eager(), prompts, tmp_path, Steps(3, full))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

    assert ["step_000002"] == [path.name for path in kept.folder.glob("*step_*")]
    assert "step_000004 cannot be written" in caplog.text
    assert "step_000006 cannot be written" in caplog.text
    assert "Training goes on" in caplog.text
