"""The miniature study's own numbers, worked by hand on runs that a test has written."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from written_runs import write_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a module of `benchmarks/`."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


@pytest.fixture
def miniature(imported: Callable[[str], ModuleType]) -> ModuleType:
    return imported("miniature")


def test_a_running_mean_begins_with_what_there_is(
    imported: Callable[[str], ModuleType],
) -> None:
    pictures = imported("miniature_study.pictures")
    assert [2.0, 3.0, 5.0] == pictures.smoothed([2.0, 4.0, 6.0], window=2)


def test_a_change_is_found_by_all_that_was_changed(
    imported: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """Two changes at once are another configuration than each of them; what chooses posts, reward
    or seed is no change. Hydra writes False where false was typed."""
    sweeps = imported("miniature_study.sweeps")
    base = "experiment=miniature_sound data=jsonl data.path=posts judge=none reward=length seed=0"
    precision, bias = "trainer.precision=bf16", "trainer.bias_correction=False"
    for place, words in enumerate(([], [precision], [bias], [precision, bias])):
        write_run(tmp_path / "night" / str(place), [0.5], reward="length",
                  overrides=" ".join([base, *words]), tags={"n": str(place)})  # fmt: skip
    every = sweeps.read(tmp_path)["night"]
    for name, place in (
        ("bfloat16 rounded to nearest", "1"),
        ("no bias correction", "2"),
        ("rounded, no bias correction", "3"),
    ):
        found = sweeps.one(every, "length", "joint", sweeps.ABLATIONS[name])
        assert place == found.runs[0].tags["n"]
    assert "0" == sweeps.one(every, "length", "joint").runs[0].tags["n"]
    assert sweeps.one(every, "length", "joint", {"loss=study"}) is None
    assert sweeps.one(every, "rouge", "joint") is None


def test_differences_between_runs(miniature: ModuleType) -> None:
    """1, 2, 3 and 5, 6, 7: means 2 and 6, variances 1 and 1, standard error sqrt(2 / 3) = 0.8165,
    t = -4.899 with 4 degrees of freedom, so p = 0.00805; 2.7764 * 0.8165 = 2.267 to either side."""

    class Side:
        def __init__(self, *runs: float) -> None:
            self.runs = runs

    found = miniature.between_runs(Side(1, 2, 3), Side(5, 6, 7), float)
    assert -4 == found["difference"]
    assert 0.00805 == pytest.approx(found["p"], abs=5e-6)
    assert [-6.267, -1.733] == pytest.approx(found["interval"], abs=5e-4)
    without = miniature.between_runs(
        Side(1, 2, 3), Side(5, 6, 7), lambda run: run if run < 6 else None
    )
    assert without is None  # one number is left of the other side


def test_two_runs_by_the_studys_test(miniature: ModuleType, tmp_path: Path) -> None:
    """Length-only, seed 1 beats seed 0 by 0.10, 0.11 and 0.12: t = 0.11 / (0.01 / sqrt(3)) = 19.05,
    p = 0.0027. ROUGE-L beats it, seed by seed, by 0.1, 0.1 and 0.4: t = 0.2 / 0.1 = 2, p = 0.18.
    So do its own seeds by 0.10, 0.11 and 0.12. The composite is four times these scores."""
    for seed, scores in enumerate(([0.2, 0.2, 0.2], [0.30, 0.31, 0.32])):
        better = [score + more for score, more in zip(scores, (0.1, 0.1, 0.4), strict=True)]
        for reward, own in (("length", scores), ("rouge", better)):
            folder = tmp_path / "generated_study" / f"{reward}{seed}"
            write_run(folder, own, reward=reward, seed=seed)
    every = miniature.read(tmp_path)["generated_study"]
    assert {
        "seed": {"pairs": 2, "below_5_percent": 2},
        "reward": {"pairs": 2, "below_5_percent": 0},
    } == miniature.single_runs(every)


def test_a_score_that_nobody_has_is_left_out(miniature: ModuleType, tmp_path: Path) -> None:
    """Without a judge there is no composite, and no 0 in its place."""
    for reward in ("length", "rouge"):
        for seed in (0, 1):
            folder = tmp_path / "real_sound" / f"{reward}{seed}"
            write_run(folder, [0.2, 0.3, 0.3], reward=reward, seed=seed, judged=False)
    first, second = miniature.read(tmp_path)["real_sound"]
    assert {"rouge_l"} == miniature.tested(first, second, ("composite", "rouge_l")).keys()


def test_what_is_read_from_sweeps(
    miniature: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two seeds of length-only and of BLEU on three posts, each a composite of 4 times its score.
    The sound runs are 0 and 6 tokens off, the ablation's 10 and 16: 10 more."""
    sound, changed = tmp_path / "generated_sound", tmp_path / "generated_ablations"
    for seed in (0, 1):
        far = 64 + 6 * seed
        write_run(sound / f"length{seed}", [0.5, 0.6, 0.7], reward="length", seed=seed,
                  lengths=[far] * 3)  # fmt: skip
        write_run(changed / f"length{seed}", [0.5, 0.6, 0.9], reward="length", seed=seed,
                  lengths=[far + 10] * 3, overrides="rollout.max_staleness=0")  # fmt: skip

    monkeypatch.setattr(miniature, "LATER", 2)
    miniature.main([str(tmp_path), "--pictures", str(tmp_path / "pictures")])

    report = json.loads(capsys.readouterr().out)
    assert {"in turn, no prefetch"} == report["ablations"].keys()
    test = report["ablations"]["in turn, no prefetch"]["test"]
    assert (13.0, 3.0, 10.0) == tuple(test["distance"][key] for key in ("a", "b", "difference"))
    # 4 * (0 + 0 + 0.2) / 3
    assert 0.2667 == pytest.approx(test["composite"]["difference"], abs=5e-5)
    # Lengths at steps 3 and 4 are 97 and 96, in all four runs: 32.5 off.
    training = report["ablations"]["in turn, no prefetch"]["distance_while_training"]
    assert ([32.5, 32.5], 0) == (training["a"], training["difference"])
    assert (None, None) == (training["interval"], training["p"])  # they do not differ between runs
    assert 8 == report["mechanics"]["generated_sound"]["steps"]
    assert 0 == report["mechanics"]["generated_sound"]["ratio_mean_off_1"]["most"]
    assert (tmp_path / "pictures" / "study_lengths.svg").stat().st_size > 1000
    assert not (tmp_path / "pictures" / "study_setting.svg").exists()  # nothing to draw
