"""A whole plan, with what was measured made up, and how it is printed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tersely.config import CONF
from tersely.launch import with_globs_of_folders
from tersely.planning import plan as planning
from tersely.planning.apart import Found
from tersely.planning.estimate import Spread
from tersely.planning.jobs import Jobs
from tersely.planning.kinds import Kind
from tersely.planning.measured import Facts, Measured
from tersely.planning.plan import Plan, plan_of
from tersely.planning.text import plan_text
from tersely.sweep.result import JobResult
from tersely.whole_file import write_json

Planner = Callable[..., Plan]


@pytest.fixture
def planner(
    jobs: Callable[..., Jobs], facts: Facts, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> Planner:
    """Arguments to their plan. Kinds named in `broken` are not measured."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")

    def planned(*arguments: str, broken: Sequence[str] = (), refused: Sequence[str] = ()) -> Plan:
        def found(kind: Kind, steps: int) -> Found:
            if kind.name in refused:
                return Found(problem="it does not fit", refused=True)
            if kind.name in broken:
                return Found(problem="nobody answers")
            return Found(replace(facts, model=repr(kind.config.model)), measured)

        monkeypatch.setattr(planning, "measured_apart", found)
        return plan_of(jobs(*arguments), steps=3)

    return planned


def squeezed(plan: Plan) -> str:
    """Its text without its lines."""
    text = plan_text(plan)
    assert max(map(len, text.splitlines())) <= 100
    return " ".join(text.split())


def test_the_study_is_readable(planner: Planner) -> None:
    """26 jobs of two kinds, one length stage for seven jobs of each. An epoch is 20 prompts, two a
    step. Each model has six joint stages, six of quality and one of length: 13 * 10, twice."""
    plan = planner("-m", with_globs_of_folders("experiment=glob(study/*)", CONF))
    said = squeezed(plan)
    assert [("S1", tuple(range(6, 13)), 6), ("S2", tuple(range(19, 26)), 19)] == [
        (each.name, each.jobs, each.trained_by) for each in plan.shared
    ]
    assert "12 A (length S1) + quality: 10 " in said
    assert "S2 length of seed 0, for jobs 19-25: trained once, by job 19" in said
    assert "kind B, jobs 13-25: model=qwen2_5_0_5b" in said
    assert 260 == sum(cost.work.steps for cost in plan.costs.values())
    assert "for 260 steps and 260 summaries" in said
    # 5 summaries, four metrics, five rounds: 100 requests a job.
    assert "geval gpt-5-mini: 100 requests a job, 2,600 in all, at most 32 at a time" in said
    assert "; if every answer can be read, about " in said
    assert plan.complete


def test_the_time_of_a_sweep_is_that_of_its_jobs(planner: Planner) -> None:
    """Each job: 2 s to load, 10 summaries of 0.5 s. A stage: 20 steps of 2 to 4 s, and 7 s that
    its first one takes more. Job 0 has two stages and job 1 one, so two loads, 20 summaries and
    three stages: 4 + 10 + 3 * 7 = 35, and 60 steps are 120, 180, 240."""
    plan = planner("-m", "strategy=staged", "trainer.steps=20", "reward=rouge,bleu", "judge=none")
    total = plan.costs[0].seconds + plan.costs[1].seconds
    assert Spread(155.0, 215.0, 275.0) == total
    assert "time 4 min (3 min to 5 min) for 60 steps and 20 summaries" in squeezed(plan)


def test_looks_at_the_validation_split_are_counted(planner: Planner) -> None:
    """20 steps with a look after every 8: two looks of 3 summaries, beside twice 5."""
    plan = planner("trainer.steps=20", "trainer.evaluate_every=8", "judge=none")
    assert 16 == plan.costs[0].work.summaries


def test_a_kind_that_cannot_be_measured_says_why(planner: Planner) -> None:
    """Its jobs are listed without a time, and are not in the sum."""
    plan = planner(
        "-m", "rollout.group_size=4,8", "strategy=staged", "trainer.steps=20", broken=["B"]
    )
    said = squeezed(plan)
    assert "0 A length S1: 20 + quality: 20 2 min rollout.group_size=4" in said
    assert "1 B length S2: 20 + quality: 20 ? rollout.group_size=8" in said
    assert "by job 1 (unless mlruns/stages has it)" in said
    assert "Kind B (rollout.group_size=8) could not be measured: nobody answers" in said
    assert "not in it job 1, self-checks, judging" in said
    assert not plan.complete


def test_a_kind_that_is_refused_is_no_job_any_more(planner: Planner) -> None:
    plan = planner("-m", "rollout.group_size=4,8", "seed=0,1", refused=["A"])
    assert [0, 1] == [each.number for each in plan.jobs.refused]
    assert [2, 3] == sorted(plan.costs)
    assert "0 rollout.group_size=4 seed=0 1 rollout.group_size=4 seed=1 it does not fit" in (
        squeezed(plan)
    )
    assert not plan.complete


def test_a_job_that_has_finished_stays_so(planner: Planner) -> None:
    """Whether the others of its kind are refused or not. Where they are measured, the length
    stage is known as theirs."""
    asked = ("-m", "hydra.sweep.dir=night", "strategy=staged", "reward=rouge,bleu,meteor")
    job = planner(*asked).jobs.planned[0]
    job.job.folder.mkdir(parents=True)
    (job.job.folder / "config.yaml").write_text(job.yaml)
    write_json(job.job.folder / "choices.json", dict(job.job.choices))
    JobResult("FINISHED").write(job.job.folder)

    plan = planner(*asked, refused=["A"])
    assert [0] == [each.number for each in plan.jobs.planned]
    assert [1, 2] == [each.number for each in plan.jobs.refused]
    plan = planner(*asked)
    assert [1, 2] == [each.number for kind in plan.kinds for each in kind.jobs]
    assert [((0, 1, 2), 1)] == [(each.jobs, each.trained_by) for each in plan.shared]
    assert plan.complete


def test_a_folder_that_cannot_be_written_is_said_once(planner: Planner, tmp_path: Path) -> None:
    """And makes the exit code 2; what the jobs cost is known."""
    (tmp_path / "notes.txt").write_text("mine")
    plan = planner("-m", "tracking.folder=notes.txt", "seed=0,1", "judge=none")
    (said,) = plan.problems
    assert "No start of jobs 0-1: tracking.folder=notes.txt cannot be written" in said
    assert said in squeezed(plan)
    assert [0, 1] == sorted(plan.costs)
    assert not plan.complete


def test_shared_stages_need_their_folder_without_a_store(planner: Planner, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    asked = ("-m", "tracking=none", "tracking.folder=notes.txt", "strategy=joint,staged")
    (said,) = planner(*asked, "judge=none").problems
    assert "No start of job 1: tracking.folder=notes.txt" in said


def test_two_jobs_of_one_folder_are_refused(planner: Planner) -> None:
    plan = planner("-m", "hydra.sweep.subdir=seed_${seed}", "seed=0,1", "reward=rouge,bleu")
    assert {1: "job 0 has the same folder", 3: "job 2 has the same folder"} == {
        each.number: each.reason.partition(",")[0] for each in plan.jobs.refused
    }


def test_a_key_that_is_missing_is_said_once(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what the judge would cost all the same."""
    monkeypatch.delenv("OPENAI_API_KEY")
    plan = planner("-m", "judge=geval_openai", "seed=0,1,2", "trainer.steps=20")
    said = squeezed(plan)
    assert 1 == said.count("OPENAI_API_KEY (judge.api_key_env)")
    assert "No start of jobs 0-2: the judge's key" in said
    assert "100 requests a job, 300 in all" in said
    assert not plan.complete


def test_another_launcher_is_named(planner: Planner) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    said = squeezed(planner("-m", "hydra/launcher=joblib", "seed=0,1", "trainer.steps=20"))
    assert "hydra/launcher=joblib may run jobs beside each other" in said
