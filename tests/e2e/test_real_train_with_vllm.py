"""`python train.py rollout=vllm_local`, with a real vLLM server under it."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm import generate, load

from tersely.policy.load import TINY
from tersely.tracking.folder_run import read_metrics

ROOT = Path(__file__).parents[2]
STEPS = 4
"""Of each stage; with new weights every second step they are 0, 1, 0 and 1 updates old."""
SMALL = ("data.train=8", "data.validation=2", "data.test=2", f"trainer.steps={STEPS}",
         "trainer.prompts_per_step=2", "trainer.learning_rate=3e-3", "rollout.group_size=4",
         "rollout.max_tokens=72", "rollout.sync_every=2", "rollout.probe_tolerance=1e-4",
         "tracking=none", "hydra.run.dir=run")  # fmt: skip
MARK = "TEST_OF_THIS_RUN"


def processes_of(mark: str) -> list[str]:
    """Commands of the processes that have `mark` in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # ended meanwhile, or somebody else's
            continue
    return found


def test_two_stages_of_adapters_on_a_server_of_its_own(vllm_python: str, tmp_path: Path) -> None:
    """The second stage begins with what the first has learned merged into the weights: its own
    server has to be given those as well. Where sampler and trainer have the same weights they
    agree, at the first step of a stage and after two updates; where they differ it shows."""
    mark = uuid.uuid4().hex
    with subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "rollout=vllm_local", "tuning=lora",
         "rollout.sync=lora", "strategy=staged", f"rollout.python={vllm_python}", *SMALL],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if "TERSELY" not in k} | {MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said, servers = "", 0
        for line in process.stdout:
            said += line
            if "the vLLM server can be used" in line:
                servers += any("api_server" in command for command in processes_of(mark))

    assert 0 == process.returncode, said
    assert 2 == servers, said  # they can be seen, then; one a stage
    assert [] == processes_of(mark)
    steps = [each for each in read_metrics(tmp_path / "run") if "loss/mismatch_kl" in each]
    assert list(range(1, 2 * STEPS + 1)) == [each["step"] for each in steps]
    assert [0, 1, 0, 1] * 2 == [each["rollout/staleness"] for each in steps]
    mismatch = [each["loss/mismatch_kl"] for each in steps]
    assert max(map(abs, mismatch[::2])) < 1e-6 < min(mismatch[1::2])
    assert {0} == {each["rollout/discarded"] for each in steps}

    checkpoint = tmp_path / "run" / "checkpoints" / "final"
    model, tokenizer = load(str(checkpoint))
    learned, first = dict(tree_flatten(model.parameters())), load(str(TINY))[0]
    assert learned.keys() == dict(tree_flatten(first.parameters())).keys()
    assert any(
        not mx.array_equal(learned[name], array) for name, array in tree_flatten(first.parameters())
    )
    assert generate(model, tokenizer, prompt="A short text", max_tokens=4)
