"""Every command of README.md and docs/ is run, as it stands there but small.

`command_rules.py` says what is done with which; one that no rule knows is a failure.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from docs.command_rules import RULES, Rule, Way, rule_of, ruled
from docs.stand_in_workers import stand_ins
from docs.workplace import ROOT, Workplace, fewer_jobs, made_small
from docs.written_commands import Written, commands_of, written_commands
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from tersely.config import TRAIN, load_for, register
from tersely.evaluation_config import EVALUATE
from tersely.launch import with_globs_of_folders

PATIENCE = 120.0
"""Seconds that a server may take to answer."""
Said = Mapping[Written, "Future[str]"]
APPS = {"train.py": (TRAIN, "config"), "evaluate.py": (EVALUATE, "evaluate")}


def each(*ways: Way) -> pytest.MarkDecorator:
    """A case for each command that is tried in one of these ways, named by its place."""
    found = list(ruled(*ways))
    return pytest.mark.parametrize(("command", "rule"), found, ids=[str(c) for c, _ in found])


@pytest.mark.parametrize("command", written_commands(), ids=str)
def test_a_rule_says_what_is_done_with_it(command: Written) -> None:
    rule = rule_of(command)
    assert rule is not None, f"no rule in command_rules.py knows {command.text}"
    assert bool(rule.why) == (rule.way is Way.elsewhere)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern)
def test_a_rule_holds_for_something(rule: Rule) -> None:
    """Or it is forgotten here, or stands behind one that holds for the same."""
    assert [] != [command for command in written_commands() if rule_of(command) is rule]


@pytest.fixture(scope="module")
def said(workplace: Workplace, request: pytest.FixtureRequest) -> Iterator[Said]:
    """What each of the chosen commands will have said. Pages are gone through two at a time, the
    commands of a page in turn, because one may need what another has made."""
    chosen = [
        item.callspec.params["command"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == "test_it_is_done"
    ]
    told: dict[Written, Future[str]] = {command: Future() for command in chosen}

    def go_through(page: str) -> None:
        for command in (each for each in chosen if each.page == page):
            try:
                told[command].set_result(done(workplace, command))
            except BaseException as error:
                told[command].set_exception(error)

    with ThreadPoolExecutor(2) as both:
        for page in dict.fromkeys(command.page for command in chosen):
            both.submit(go_through, page)
        yield told
        both.shutdown(cancel_futures=True)


def done(workplace: Workplace, command: Written) -> str:
    rule = rule_of(command)
    assert rule is not None
    folder = workplace.page(command.page)
    text = workplace.made_real(command.text, folder)
    return workplace.done(f"{made_small(text)} {rule.more}", folder)


@each(Way.run)
def test_it_is_done(said: Said, command: Written, rule: Rule) -> None:
    assert rule.says in said[command].result()


@each(Way.sweep)
def test_the_sweep_of_the_readme(workplace: Workplace, command: Written, rule: Rule) -> None:
    """tests/e2e/test_train_command.py looks at what it leaves."""
    assert "README.md" == command.page
    assert rule.says in workplace.sweep[1]


@each(Way.workers)
def test_it_is_done_with_workers(workplace: Workplace, command: Written, rule: Rule) -> None:
    """Whatever addresses it names are those of stand-ins, which fetch the weights over HTTP."""
    folder = workplace.page(command.page)
    text = workplace.made_real(command.text, folder)
    named = re.findall(r"http://[\w.]+:\d+", text)
    with stand_ins(len(named)) as urls:
        for address, url in zip(named, urls, strict=True):
            text = text.replace(address, url)
        text = re.sub(r"\brollout\.publish_(host|port)=\S+", "", text)
        # They have no model, so a probe finds that they sample with another one.
        line = f"{made_small(text)} rollout.probe_tolerance=1000"
        assert rule.says in workplace.done(line, folder)


@each(Way.page)
def test_its_page_is_there(
    workplace: Workplace, tmp_path: Path, command: Written, rule: Rule
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    with log.open("w") as said:
        server = subprocess.Popen(
            ["sh", "-c", f"{command.text} --port {port}"],
            cwd=workplace.page(command.page),
            env=workplace.environment(),
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        assert rule.says in page_of(f"http://127.0.0.1:{port}", server, log)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def page_of(address: str, server: "subprocess.Popen[bytes]", log: Path) -> str:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"{address} does not answer:\n{log.read_text()}")


@each(Way.jobs)
def test_every_job_of_it_is_composed(command: Written, rule: Rule) -> None:
    """As the jobs of the sweep are, one for each file that a glob stands for and one for each
    combination of values; what they fetch from the Hub and what they train is left out."""
    _, script, _, *words = shlex.split(command.text)
    app, root = APPS[script]
    register(app)
    globbed = [with_globs_of_folders(word, ROOT / "conf") for word in words]
    overrides = OverridesParser.create().parse_overrides(globbed)
    jobs = BasicSweeper.split_arguments(overrides, max_batch_size=None)[0]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for job in jobs:
            load_for(app, compose(root, [each for each in job if not each.startswith("hydra.")]))


def test_commands_are_found() -> None:
    """Continued and quoted lines are one, comments none, `&&` makes two; answers are no commands,
    and what is in another language is none either."""
    page = """
Text.

```sh
sh setup.sh && .venv/bin/python train.py  # both
a 'b # c' \\
  d
python -c 'one
two'
```

- in a list

    ```console title="x"
    $ e f
    an answer
    ```

```python
g()
```
"""
    assert [
        ("sh setup.sh", 5),
        (".venv/bin/python train.py", 5),
        ("a 'b # c' d", 6),
        ("python -c 'one\ntwo'", 8),
        ("e f", 15),
    ] == list(commands_of(page))


def test_of_a_sweep_two_jobs_are_left() -> None:
    sweep = "train.py -m 'a=[1,2]' b=1,2,3 c=1,2 d.e=1"
    assert "train.py -m 'a=[1,2]' b=1,2 c=1 d.e=1" == fewer_jobs(sweep)


def test_a_block_without_its_language_is_not_overlooked() -> None:
    with pytest.raises(AssertionError, match="line 2: a block of commands wants ```sh"):
        list(commands_of("```\n.venv/bin/python train.py\n```"))
