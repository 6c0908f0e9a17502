"""Writes the reference on docs/configuration.md, from the dataclasses and conf/, at each build."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from textwrap import indent
from typing import TYPE_CHECKING, Any

from configuration_files import (
    CONF,
    ConfFile,
    choice_file,
    conf_file,
    preset_files,
    preset_folders,
)
from configuration_keys import Key, keys_of, more_on

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

from tersely.config import TRAIN, App
from tersely.evaluation_config import EVALUATE
from tersely.report_app import REPORT

PLACE = "<!-- the reference -->"
APPS: dict[str, App[Any]] = {"config": TRAIN, "evaluate": EVALUATE, "report": REPORT}
"""Root file in conf/ to its application."""


def on_page_markdown(
    markdown: str, /, *, page: "Page", config: "MkDocsConfig", files: "Files"
) -> str:
    """mkdocs calls this for each page; one of them has the place for the reference."""
    return markdown.replace(PLACE, reference())


def reference() -> str:
    """Everything that can be set, as Markdown."""
    parts = [_root_section("config", "A run: train.py")]
    parts += [_group_section(group) for group in TRAIN.groups]
    parts += [_presets(), _root_section("evaluate", "An evaluation: evaluate.py")]
    return "\n\n".join([*parts, _root_section("report", "A report: report.py")])


def root_keys(app: App[Any]) -> dict[str, Key]:
    """What an application has beside its groups, by dotted name."""
    found: dict[str, Key] = {}
    for (name, key), field in zip(keys_of(app.root).items(), fields(app.root), strict=True):
        if name in app.groups:
            continue
        if isinstance(field.type, type) and is_dataclass(field.type):
            below = keys_of(field.type)
            found |= {f"{name}.{each}": value for each, value in below.items()}
        else:
            found[name] = key
    return found


def _root_section(file: str, title: str) -> str:
    app, chosen = APPS[file], conf_file(CONF / f"{file}.yaml", file).chosen
    groups = (f"[`{group}={chosen[group]}`](#{group})" for group in app.groups)
    prefix = "" if app is TRAIN else f"{file}."
    return "\n\n".join(
        [
            f"## {title}",
            f"Without a word on its command line: {', '.join(groups)}.",
            "Beside the groups it has these keys.",
            *(_entry(name, key, prefix + name) for name, key in root_keys(app).items()),
        ]
    )


def _group_section(group: str) -> str:
    meaning, choices = TRAIN.groups[group]
    chosen = conf_file(CONF / "config.yaml", "config").chosen[group]
    every = keys_in_common(list(choices.values()))
    default = f"The default is `{group}={chosen}`."
    parts = [f"## {group} {{ #{group} }}", f"{_capital(meaning)}. {default}"]
    if every:
        parts += ["Every choice has these keys." if len(choices) > 1 else ""]
        parts += [_entry(f"{group}.{name}", key, f"{group}.{name}") for name, key in every.items()]
    told = {key.declared_by: group for key in every.values()}
    anchors = {f"{group}.{name}" for name in every}
    for choice, schema in choices.items():
        parts += list(_choice(group, choice, schema, every, told, anchors))
    return "\n\n".join(part for part in parts if part)


def _choice(
    group: str,
    choice: str,
    schema: type,
    every: Mapping[str, Key],
    told: dict[type, str],
    anchors: set[str],
) -> Iterator[str]:
    """The part of one choice; `told` are the classes whose keys stand above, `anchors` theirs."""
    file = choice_file(group, choice)
    yield f"### {group}={choice} {{ #{group}-{choice} }}"
    yield file.says
    if schema not in told:
        yield more_on(schema)
    keys = keys_of(schema)
    other = {n: keys[n].default or "" for n in every if keys[n].default != every[n].default}
    other |= file.values
    if other:
        yield f"It sets {_values(f'{group}.{name}={value}' for name, value in other.items())}."
    own = {name: key for name, key in keys.items() if name not in every}
    above = [name for name, key in own.items() if key.declared_by in told]
    if above:
        links = (f"[`{group}.{name}`](#{group}.{name})" for name in above)
        yield f"It has {', '.join(links)} too."
    for name, key in own.items():
        if name not in above:
            plain = f"{group}.{name}"
            anchor = f"{group}.{choice}.{name}" if plain in anchors else plain
            anchors.add(anchor)
            yield _entry(plain, key, anchor)
    told.update({key.declared_by: choice for key in own.values()})


def keys_in_common(schemas: Sequence[type]) -> dict[str, Key]:
    """Keys that every choice of a group has from the same class, with that class's default."""
    first, *others = map(keys_of, schemas)
    return {
        name: keys_of(key.declared_by)[name]
        for name, key in first.items()
        if all(name in keys and keys[name].declared_by is key.declared_by for keys in others)
    }


def _entry(name: str, key: Key, anchor: str) -> str:
    default = "has to be given" if key.default is None else f"default {_code(key.default)}"
    values = "\n".join(
        f"- `{value}`: {meaning}" if meaning else f"- `{value}`" for value, meaning in key.values
    )
    text = f"{key.meaning}\n\n{values}".strip()
    described = indent(text, "    ").removeprefix("    ")
    return f"`{name}`{{ #{anchor} .key }} {key.kind}, {default}\n:   {described}"


def _presets() -> str:
    parts = [
        "## experiment { #experiment }",
        "Presets of several choices and values; what is typed beside one goes before it. "
        "There is none by default.",
    ]
    for preset in preset_files():
        parts += [f"### experiment={preset.name} {{ #experiment-{preset.name} }}", preset.says]
        parts += [_preset_sets(preset)]
    for folder in preset_folders():
        files = preset_files(folder)
        rows = "\n".join(f"| `{file.name}` | {_one_line(file.says)} |" for file in files)
        parts += [f"### experiment={folder}/... {{ #rows-{folder.replace('/', '-')} }}"]
        parts += [f"| Preset | Its hypothesis |\n|---|---|\n{rows}"]
    return "\n\n".join(parts)


def _preset_sets(preset: ConfFile) -> str:
    chosen = [f"{group}={choice}" for group, choice in preset.chosen.items()]
    sets = _values([*chosen, *(f"{key}={value}" for key, value in preset.values.items())])
    stands_on = (f"[`experiment={each}`](#experiment-{each})" for each in preset.stands_on)
    return f"It sets {', then '.join([*stands_on, sets])}."


def _values(words: Iterable[str]) -> str:
    return ", ".join(map(_code, words))


def _code(text: str) -> str:
    return f"`{text}`" if text else "empty"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
