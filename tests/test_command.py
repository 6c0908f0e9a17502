"""The console script, before a command takes over."""

import sys
from importlib import import_module

import pytest

from tersely import __version__
from tersely.command import COMMANDS, main


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/tersely", *words])
    main()


@pytest.mark.parametrize("words", [(), ("-h",), ("--help",)], ids=" ".join)
def test_help_has_a_line_for_each_command(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where nothing is typed."""
    typed(monkeypatch, *words)
    lines = capsys.readouterr().out.splitlines()
    assert ["train", "evaluate", "report"] == list(COMMANDS)
    for name, does in COMMANDS.items():
        assert f"  {name:<10} {does}" in lines
    assert len(lines) < 15


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    typed(monkeypatch, "--version")
    assert f"tersely {__version__}\n" == capsys.readouterr().out


@pytest.mark.parametrize("word", ["trian", "reward=rouge", "-m", ""])
def test_a_wrong_word_ends_in_a_paragraph_and_code_2(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, with the words that there are."""
    with pytest.raises(SystemExit, match=r"^2$"):
        typed(monkeypatch, word)
    said = capsys.readouterr()
    assert "" == said.out
    assert said.err.startswith(f"\nError: tersely has no command {word!r}; ")
    assert "train, evaluate, report" in said.err
    assert "\n\n" not in said.err.strip()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_gets_what_follows_its_name(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own help is the shortest thing that it can do."""
    typed(monkeypatch, name, "--help")
    assert f"Usage: tersely {name} " in capsys.readouterr().out
    assert ["/somewhere/bin/tersely", "--help"] == sys.argv


@pytest.mark.parametrize("name", COMMANDS)
def test_a_worker_finds_main_by_its_name(name: str) -> None:
    """What Hydra hands to a launcher is the function of the module, not a wrapper of it."""
    main = import_module(f"tersely.apps.{name}").main
    assert (f"tersely.apps.{name}", "main") == (main.__module__, main.__qualname__)
    assert not hasattr(main, "__wrapped__")
