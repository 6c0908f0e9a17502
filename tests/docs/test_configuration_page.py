"""docs/configuration.md says all that can be set, as the code and conf/ have it."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from configuration_keys import keys_of
from configuration_page import PLACE, reference
from omegaconf import OmegaConf

from tersely.config import GROUPS, Config
from tersely.evaluation_config import Evaluation
from tersely.report_app import REPORT

ROOT = Path(__file__).parents[2]
CHOICES = [(group, choice) for group in GROUPS for choice in GROUPS[group].choices]
SCHEMAS = {schema for group in GROUPS.values() for schema in group.choices.values()}
ROOTS = [Config, Evaluation, REPORT.root]


@pytest.fixture(scope="module")
def page() -> str:
    return reference()


def below(page: str, heading: str) -> str:
    """The part of the page below a heading, up to the next one of its level."""
    level = heading.partition(" ")[0]
    _, found, rest = page.partition(f"\n{heading} {{")
    assert found, f"{heading} is no heading of the page"
    return re.split(rf"\n#{{2,{len(level)}}} ", rest)[0]


def settable(root: type) -> Iterator[tuple[type, str, str]]:
    """Class, field and dotted name of all that is below a root and in no group."""
    for field in fields(root):
        if isinstance(field.type, type) and is_dataclass(field.type) and field.name not in GROUPS:
            yield from ((field.type, each.name, f"{field.name}.{each.name}")
                        for each in fields(field.type))  # fmt: skip
        elif field.name not in GROUPS:
            yield root, field.name, field.name


def test_every_field_says_what_it_means() -> None:
    """A docstring stands under each, or under the one that it inherits from."""
    of_groups = [(schema, field.name) for schema in SCHEMAS for field in fields(schema)]
    of_roots = [(schema, name) for root in ROOTS for schema, name, _ in settable(root)]
    silent = [
        f"{schema.__name__}.{name}"
        for schema, name in [*of_groups, *of_roots]
        if not keys_of(schema)[name].meaning
    ]
    assert [] == silent


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_key_of_a_choice_is_there(page: str, group: str, choice: str) -> None:
    """With its type and meaning: below the choice, below the group, or by a link from it."""
    of_choice = below(page, f"### {group}={choice}")
    of_group = below(page, f"## {group}").partition("\n### ")[0]
    for name, key in keys_of(GROUPS[group].choices[choice]).items():
        entry = f"`{group}.{name}`{{ #"
        assert entry in of_choice or entry in of_group or f"(#{group}.{name})" in of_choice
        _, _, told = page.partition(entry)
        assert key.meaning.split()[-1] in told


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_what_yaml_sets_is_there(page: str, group: str, choice: str) -> None:
    """`steps: 50` in conf/trainer/default.yaml stands below trainer=default."""
    tree: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / group / f"{choice}.yaml"))
    told = below(page, f"### {group}={choice}")
    for key, value in tree.items():
        if key != "defaults":
            sets = re.search(rf"`{group}\.{key}=([^`]+)`", told)
            assert sets is not None
            assert value == OmegaConf.create(f"it: {sets[1]}").it


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.__name__)
def test_what_is_in_no_group_is_there(page: str, root: type) -> None:
    assert ["run", "checkpoint", "split", "name", "seed", "decoding.max_tokens"] == [
        name for _, _, name in settable(Evaluation)
    ][:6]
    for _, _, name in settable(root):
        assert f"`{name}`{{ #" in page


def test_every_preset_is_there_with_its_hypothesis(page: str) -> None:
    for file in (ROOT / "conf" / "experiment").rglob("*.yaml"):
        name = file.relative_to(ROOT / "conf" / "experiment").with_suffix("").as_posix()
        first = file.read_text().splitlines()[1].removeprefix("# ")
        assert f"`{name}` | {first}" in page or first in below(page, f"### experiment={name}")


def test_an_entry_by_hand(page: str) -> None:
    """`trainer.precision: Precision | None = None`, with two of its four values."""
    _, _, told = page.partition("`trainer.precision`{ #trainer.precision .key } ")
    told = told.partition("`trainer.memory_limit_gb`")[0]
    assert told.startswith("one of or null, default `null`\n:   What the weights are stored in: `f")
    assert "\n    - `fp32`: float32: every update counts. 4 bytes a weight.\n" in told
    assert "\n    - `bf16_master`: bfloat16, rounded from float32 values that are" in told


def test_no_two_places_have_one_name(page: str) -> None:
    names = re.findall(r"\{ #(\S+)", page)
    assert sorted(set(names)) == sorted(names)


def test_the_page_has_a_place_for_it() -> None:
    assert 1 == (ROOT / "docs" / "configuration.md").read_text().count(PLACE)
