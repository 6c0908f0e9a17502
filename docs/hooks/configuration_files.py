"""What the files of conf/ say: their first comment, what they choose and what they set."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configuration_keys import as_typed
from omegaconf import OmegaConf

CONF = Path(__file__).parents[2] / "conf"


@dataclass(frozen=True)
class ConfFile:
    """One file: a choice of a group, or a preset."""

    name: str
    """As one types it: `study/qwen_length`."""
    says: str
    """The comment at its top, as Markdown text."""
    chosen: dict[str, str]
    """Group to choice: what it chooses of others."""
    stands_on: tuple[str, ...]
    """Presets that it begins with."""
    values: dict[str, str]
    """Dotted key to value: what it sets."""


def conf_file(path: Path, name: str) -> ConfFile:
    """Read one; schemas are no choice, and what Hydra itself is told is left out."""
    text = path.read_text(encoding="utf-8")
    tree: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    chosen: dict[str, str] = {}
    stands_on = []
    for entry in tree.pop("defaults", []):
        if isinstance(entry, dict):
            (group, choice), *_ = entry.items()
            chosen[group.removeprefix("override ").lstrip("/")] = as_typed(choice)
        elif entry.startswith("/experiment/"):
            stands_on.append(entry.removeprefix("/experiment/"))
    tree.pop("hydra", None)
    chosen = {group: choice for group, choice in chosen.items() if not group.startswith("hydra/")}
    return ConfFile(name, _comment(text), chosen, tuple(stands_on), dict(_dotted(tree)))


def choice_file(group: str, choice: str) -> ConfFile:
    """The file of a choice; its keys are those of the group."""
    return conf_file(CONF / group / f"{choice}.yaml", choice)


def preset_files(folder: str = "") -> list[ConfFile]:
    """Presets in one folder of conf/experiment/, by name."""
    prefix = f"{folder}/" if folder else ""
    files = sorted((CONF / "experiment" / folder).glob("*.yaml"))
    return [conf_file(file, prefix + file.stem) for file in files]


def preset_folders() -> list[str]:
    """Folders of conf/experiment/ that have files, at any depth."""
    top = CONF / "experiment"
    return sorted({file.parent.relative_to(top).as_posix() for file in top.glob("*/**/*.yaml")})


def _comment(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.removeprefix("#").strip())
    return "\n".join(lines)


def _dotted(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", as_typed(value)
