"""One sweep, evaluation and report, whose leavings the tests look through."""

import pytest
from hostile import Left, start, write_posts


@pytest.fixture(scope="session")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """A sweep of two runs, an evaluation of one of them, and a report on both."""
    folder = tmp_path_factory.mktemp("security")
    (folder / "here").mkdir()
    write_posts(folder / "posts")
    small = (
        "data=jsonl",
        f"data.path={folder / 'posts'}",
        "rollout.group_size=2",
        "rollout.max_tokens=72",
        "trainer.prompts_per_step=2",
        "trainer.steps=1",
    )
    here, said = folder / "here", ""

    def run(*command: str) -> None:
        nonlocal said
        done = start(here, *command)
        said += done.stdout + done.stderr
        assert 0 == done.returncode, said

    run("train.py", "-m", "reward=rouge,length", "hydra.sweep.dir=multirun/night", *small)
    trained = sorted((here / "multirun" / "night").glob("*/result.json"))[0].parent
    run("evaluate.py", f"run={trained}", "name=test/odd")
    run("report.py", "sweep=night")
    return Left(folder, said)
