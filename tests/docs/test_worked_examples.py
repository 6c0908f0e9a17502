"""Following a page of docs/adding/ to the letter gives a choice that works."""

import json
import re
from pathlib import Path

import pytest
from commands import ROOT
from docs.worked_example import Block, blocks_of, copy_of, edit, files_of, put, typed

ADDING = ROOT / "docs" / "adding"
EXAMPLES = {
    "a-reward": ("reward", "recall"),
    "an-advantage": ("advantage", "centred"),
    "a-loss": ("loss", "reinforce"),
    "a-judge": ("judge", "words"),
    "a-rollout-engine": ("rollout", "replay"),
}
"""Page to the group and the choice that it adds."""
SAYS = {"a-reward": r"\nrecall +\d\.\d", "a-judge": r"\ncoverage \(judged\) +\d\.\d"}
"""What its evaluation of a run shows."""
SMALL = (
    "data.train=16 data.validation=2 data.test=2 trainer.steps=1 trainer.prompts_per_step=2 "
    "rollout.group_size=2 rollout.max_tokens=72 reward.meteor_matching=exact_and_stem tracking=none"
)
"""What is put behind commands that train, so that they take seconds, and no corpus."""


def test_every_page_is_followed() -> None:
    assert set(EXAMPLES) == {page.stem for page in ADDING.glob("*.md")}


@pytest.mark.parametrize("page", EXAMPLES)
def test_a_page_that_is_followed_gives_a_choice_that_works(page: str, tmp_path: Path) -> None:
    """A module, a file of values, a test and lines in one table are all that it takes. What it
    says to type does what it says: tests pass, and runs with the choice finish."""
    group, choice = EXAMPLES[page]
    blocks = blocks_of(ADDING / f"{page}.md")
    module, values, test = files_of(blocks)
    folder, runs = copy_of(ROOT, tmp_path), 0

    for block in blocks:
        put(block, folder)
        for command in block.commands:
            if " -m pytest " in command:
                assert test in command
                assert " passed" in typed(f"{command} -p no:cacheprovider", folder)
            elif " train.py " in command:
                runs += 1
                typed(f"{command} {SMALL} hydra.run.dir=run_{runs}", folder)
            else:
                said = typed(f"{command.replace('FOLDER', 'run_1')} tracking=none", folder)
                assert re.search(SAYS[page], said), said

    assert module.startswith("src/tersely/")
    assert f"conf/{group}/{choice}.yaml" == values
    assert runs
    for run in folder.glob("run_*"):
        assert choice == json.loads((run / "choices.json").read_text())[group]
        assert "FINISHED" == json.loads((run / "result.json").read_text())["status"]


TEXT = "one\ntwo\nthree\ntwo\n"


def test_an_edit_goes_where_its_lines_stand() -> None:
    found = edit(TEXT, Block("diff", "file", " two\n-three\n+2 1/2\n+3\n"))
    assert "one\ntwo\n2 1/2\n3\ntwo\n" == found


@pytest.mark.parametrize(("lines", "times"), [(" two\n+more\n", 2), (" four\n+more\n", 0)])
def test_an_edit_that_a_reader_would_not_find_is_refused(lines: str, times: int) -> None:
    with pytest.raises(AssertionError, match=f"file has these lines {times} times"):
        edit(TEXT, Block("diff", "file", lines))
