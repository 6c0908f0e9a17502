"""Versions on disk, of real policies."""

import asyncio
import hashlib
import os
import socket
import subprocess
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import mlx.core as mx
import pytest

from tersely.errors import ConfigError, RolloutError
from tersely.policy.hub_weights import hub_weights
from tersely.policy.load import Policy, load_policy
from tersely.policy.tuning import LoraConfig
from tersely.rollout.sampler import Snapshot
from tersely.rollout.vllm.publishing import weights as weights_module
from tersely.rollout.vllm.publishing.publisher import Publisher
from tersely.rollout.vllm.publishing.score import TrainerScorer
from tersely.rollout.vllm.publishing.weights import Weights
from tersely.rollout.vllm.records import Files, Score


def weights_of(policy: Policy, folder: Path | None = None, **options: bool) -> Weights:
    scorer = TrainerScorer(policy, 1.0)
    return Weights(policy, scorer.of, folder=folder and str(folder), **options)


def snapshot(policy: Policy, version: int = 0) -> Snapshot:
    return Snapshot(policy.parameters(), version)


def read(published: Files) -> dict[str, mx.array]:
    arrays: dict[str, mx.array] = {}
    for name in published.checksums:
        loaded = mx.load(str(published.folder / name))
        assert isinstance(loaded, dict)
        arrays |= loaded
    return arrays


def test_a_version_is_a_checkpoints_weights(policy: Policy, tmp_path: Path) -> None:
    """Names and layout of the Hub, so LFM2's convolutions are turned; checksums of the files."""
    published = weights_of(policy, tmp_path).write(snapshot(policy, 3))

    expected, actual = hub_weights(policy.parameters(), policy.config), read(published)
    assert set(expected) == set(actual)
    assert all(mx.array_equal(expected[name], actual[name]) for name in expected)
    assert 3 == published.version
    for name, checksum in published.checksums.items():
        assert checksum == hashlib.sha256((published.folder / name).read_bytes()).hexdigest()


def test_in_bfloat16_half_as_much_is_moved(policy: Policy, tmp_path: Path) -> None:
    weights = weights_of(policy, tmp_path)
    full, half = (
        read(weights.write(snapshot(policy, version), dtype))
        for version, dtype in enumerate(("float32", "bfloat16"))
    )
    assert all(array.astype(mx.bfloat16).dtype == half[name].dtype for name, array in full.items())
    assert all(mx.array_equal(full[name].astype(mx.bfloat16), half[name]) for name in full)


def test_the_last_two_versions_are_there(policy: Policy, tmp_path: Path) -> None:
    """A worker may be fetching the one while the next is written."""
    weights = weights_of(policy, tmp_path)
    versions = [weights.write(snapshot(policy, version)) for version in range(4)]

    assert [False, False, True, True] == [version.folder.is_dir() for version in versions]
    weights.close()
    assert [] == list(tmp_path.iterdir())


def test_no_two_runs_have_the_same_tags(policy: Policy, tmp_path: Path) -> None:
    one, other = (weights_of(policy, tmp_path).write(snapshot(policy)).tag for _ in range(2))

    assert one != other


def test_the_score_is_that_of_the_version(policy: Policy, tmp_path: Path) -> None:
    """Also after the policy has gone on."""
    weights = weights_of(policy, tmp_path)
    first = weights.write(snapshot(policy, 0))
    before = first.score([5, 6, 7], [8, 9])
    policy.model.update({"model": {"embed_tokens": {"weight": mx.random.normal((2048, 64))}}})
    second = weights.write(snapshot(policy, 1))

    assert before != second.score([5, 6, 7], [8, 9])
    assert before == first.score([5, 6, 7], [8, 9])


def test_the_score_before_goes_with_each_version_but_the_first(
    policy: Policy, tmp_path: Path
) -> None:
    weights = weights_of(policy, tmp_path)
    versions = [weights.write(snapshot(policy, version)) for version in range(3)]

    assert [None, versions[0].score, versions[1].score] == [each.before for each in versions]


@pytest.mark.parametrize("adapters_only", [True, False])
def test_the_current_version_and_the_one_before_are_in_memory(
    with_adapters: Policy, tmp_path: Path, adapters_only: bool
) -> None:
    """A score keeps the parameters that it scores with: of a large model, gigabytes. Also where a
    worker was told of all versions, and of the base."""
    scores: list[weakref.ref[Score]] = []

    def score_of(snapshot: Snapshot) -> Score:
        def score(prompt: Sequence[int], completion: Sequence[int]) -> list[float]:
            return []

        scores.append(weakref.ref(score))
        return score

    weights = Weights(with_adapters, score_of, adapters_only=adapters_only, folder=str(tmp_path))
    publisher = Publisher("127.0.0.1", 0)
    for version in range(4):
        published = weights.write(snapshot(with_adapters, version))
        for files in (published, weights.base):
            if files is not None:
                asyncio.run(publisher.source(files, "http://127.0.0.1:1"))

    assert [False, False, True, True] == [score() is not None for score in scores]
    assert [published.before, published.score] == [score() for score in scores[2:]]


@pytest.fixture
def with_adapters(checkpoint: Callable[[str], Path]) -> Policy:
    policy = load_policy(checkpoint("qwen2"))
    policy.attach(LoraConfig(rank=4), seed=1)
    return policy


def test_adapters_alone_and_once_what_is_beside_them(with_adapters: Policy, tmp_path: Path) -> None:
    """At first the weights beside the adapters are the checkpoint's."""
    weights = weights_of(with_adapters, tmp_path, adapters_only=True)
    first = weights.write(snapshot(with_adapters, 0))
    base = weights.base
    second = weights.write(snapshot(with_adapters, 1))

    assert {"adapter_config.json", "adapter_model.safetensors"} == set(first.checksums)
    assert set(first.checksums) == set(second.checksums)
    assert first.tag != second.tag
    assert base is not None
    assert base is weights.base
    checkpoint = mx.load(str(with_adapters.folder / "model.safetensors"))
    actual = read(base)
    assert set(checkpoint) == set(actual)
    assert all(mx.array_equal(checkpoint[name], actual[name]) for name in actual)


def test_the_weights_beside_adapters_outlive_the_versions(
    with_adapters: Policy, tmp_path: Path
) -> None:
    """A worker that comes back late needs them."""
    weights = weights_of(with_adapters, tmp_path, adapters_only=True)
    for version in range(4):
        weights.write(snapshot(with_adapters, version))

    assert weights.base is not None
    assert weights.base.folder.is_dir()
    assert 3 == len(list(weights.base.folder.parent.iterdir()))  # two versions and the base


def test_with_adapters_a_full_version_is_merged(with_adapters: Policy, tmp_path: Path) -> None:
    published = weights_of(with_adapters, tmp_path).write(snapshot(with_adapters))

    checkpoint = mx.load(str(with_adapters.folder / "model.safetensors"))
    assert set(checkpoint) == set(read(published))


def test_adapters_alone_need_adapters(policy: Policy) -> None:
    with pytest.raises(ConfigError, match="tuning=lora"):
        weights_of(policy, adapters_only=True)


def test_a_folder_that_cannot_be_written_is_named(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RolloutError, match=r"file/below .*rollout\.publish_folder"):
        weights_of(policy, tmp_path / "file" / "below").write(snapshot(policy))


def test_memory_that_is_small_is_left_alone(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three versions have to fit; here nothing does."""
    monkeypatch.setattr(weights_module, "MEMORY", tmp_path / "memory")
    monkeypatch.setattr(weights_module.tempfile, "tempdir", str(tmp_path))
    weights = weights_of(policy)
    published = weights.write(snapshot(policy))

    assert tmp_path == published.folder.parents[1]
    weights.close()
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("asked", [True, False])
def test_what_a_killed_run_left_is_removed_and_what_a_running_one_has_is_not(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    """Gigabytes, perhaps of memory. The process of the second is this one's parent; of the third
    nobody here can tell whether it runs, because a publish_folder is seen by several machines."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    here = socket.gethostname()
    owners = (f"{gone.pid}-{here}", f"{os.getppid()}-{here}", f"{gone.pid}-not-{here}")
    killed, running, elsewhere = (
        tmp_path / f"{weights_module.OWNED}{owner}-0123abcd" for owner in owners
    )
    for folder in (killed, running, elsewhere):
        folder.mkdir()
    monkeypatch.setattr(weights_module, "MEMORY", tmp_path)
    weights = weights_of(policy, tmp_path if asked else None)
    published = weights.write(snapshot(policy))
    assert tmp_path == published.folder.parents[1]
    assert f"-{os.getpid()}-{here}-" in f"-{published.folder.parent.name.rpartition('of-')[2]}"
    weights.close()

    assert {running, elsewhere} == set(tmp_path.iterdir())


def test_a_published_folder_can_be_read_by_workers_of_other_users(
    policy: Policy, tmp_path: Path
) -> None:
    (tmp_path / "usual").mkdir()
    published = weights_of(policy, tmp_path).write(snapshot(policy))

    usual = (tmp_path / "usual").stat().st_mode
    assert [usual, usual] == [
        folder.stat().st_mode for folder in (published.folder, published.folder.parent)
    ]


def test_closed_before_anything_is_written_it_writes_nothing(
    policy: Policy, tmp_path: Path
) -> None:
    """A run may be stopped while its first weights are on their way."""
    weights = weights_of(policy, tmp_path)
    weights.close()
    with pytest.raises(RolloutError, match="stopped"):
        weights.write(snapshot(policy))
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("fails", [False, True])
def test_closed_while_it_writes_it_leaves_nothing(
    fails: bool, policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the files could be written to the end or lost their folder on the way."""
    weights = weights_of(policy, tmp_path)
    write_shards = weights_module.write_shards

    def slow(arrays: dict[str, mx.array], folder: Path) -> dict[str, str]:
        closing = threading.Thread(target=weights.close)
        closing.start()
        closing.join()
        if not fails:
            folder.mkdir(parents=True)
        return write_shards(arrays, folder)

    monkeypatch.setattr(weights_module, "write_shards", slow)
    with pytest.raises(RolloutError, match="stopped"):
        weights.write(snapshot(policy))
    assert [] == list(tmp_path.iterdir())
