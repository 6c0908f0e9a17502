"""The README's table of what can be chosen, held against the configuration."""

import re
from pathlib import Path

from tersely.config import GROUPS

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", re.MULTILINE)


def test_it_has_every_group_and_choice_in_their_order() -> None:
    rows = {name: choices for name, _, choices in ROW.findall((ROOT / "README.md").read_text())}
    presets = rows.pop("experiment")
    assert {name: list(group.choices) for name, group in GROUPS.items()} == {
        name: re.findall(r"`(\w+)`", choices) for name, choices in rows.items()
    }
    files = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    assert files == set(re.findall(r"`(\w+)`", presets))
