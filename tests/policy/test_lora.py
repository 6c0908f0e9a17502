"""Adapters: what they leave alone, what they add, and that nothing is lost when they are merged."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten

from tersely.errors import ConfigError
from tersely.objective.advantages import ZScoreConfig
from tersely.objective.config import GrpoConfig
from tersely.objective.correction_config import NoCorrection
from tersely.policy.load import Policy, load_policy
from tersely.policy.tuning import FullConfig, LoraConfig
from tersely.records import Example, Prompt
from tersely.rewards.length import LengthConfig
from tersely.rewards.mixture import Mixture
from tersely.rollout.local import LocalConfig
from tersely.training.checkpoint import save_checkpoint
from tersely.training.config import TrainerConfig
from tersely.training.trainer import train

Folder = Callable[[str], Path]
LORA = LoraConfig(rank=4, scale=4.0)
ADAPTED = {
    "qwen2": {
        *(f"self_attn.{name}_proj" for name in "qkvo"),
        *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
    },
    "lfm2": {
        *(f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")),
        *(f"feed_forward.w{n}" for n in (1, 2, 3)),
        *("conv.in_proj", "conv.out_proj"),
    },
}
"""Every linear layer inside a transformer layer."""


def logits(model: Any) -> np.ndarray:
    return np.array(model(mx.array([[5, 9, 301, 77]])))


def arrays(tree: Mapping[str, Any]) -> dict[str, mx.array]:
    return dict(tree_flatten(tree))


def trained(policy: Policy) -> dict[str, mx.array]:
    return arrays(policy.model.trainable_parameters())


def base(policy: Policy) -> dict[str, bytes]:
    """The weights beside the adapters, by their names in a plain model."""
    return {
        name.replace(".linear.", "."): np.array(array).tobytes()
        for name, array in arrays(policy.parameters()).items()
        if "lora_" not in name
    }


def learn(policy: Policy, seed: int = 1) -> None:
    """Move every weight that is trained by about 0.03, as an update would."""
    keys = mx.random.split(mx.random.key(seed), len(trained(policy)))
    policy.model.load_weights(
        [
            (name, array + 0.03 * mx.random.normal(array.shape, key=key))
            for key, (name, array) in zip(keys, trained(policy).items(), strict=True)
        ],
        strict=False,
    )


def test_only_adapters_are_trained_and_every_linear_layer_has_one(policy: Policy) -> None:
    """The LM head and the embedding are plain: the fused LM head needs their weight."""
    before = logits(policy.model)

    policy.attach(LORA, seed=3)

    names = [name.removeprefix("model.layers.") for name in trained(policy)]
    assert {"lora_a", "lora_b"} == {name.rpartition(".")[2] for name in names}
    assert ADAPTED[policy.config["model_type"]] == {
        name.partition(".")[2].rpartition(".")[0] for name in names
    }
    assert nn.Embedding is type(policy.model.model.embed_tokens)
    np.testing.assert_array_equal(before, logits(policy.model))


def test_an_adapter_adds_scale_times_b_times_a(checkpoint: Folder) -> None:
    """x = [1, 0, ...], A's first row all 0.5 at rank 4, B all 0.25, scale 4:
    4 * sum over 4 ranks of 0.5 * 0.25 = 4 * 0.5 = 2 is added to each output."""
    policy = load_policy(checkpoint("qwen2"))
    x = mx.eye(64)[:1]
    before = np.array(policy.model.layers[0].self_attn.o_proj(x))

    policy.attach(LORA, seed=3)
    adapted = policy.model.layers[0].self_attn.o_proj
    assert ((64, 4), (4, 64)) == (adapted.lora_a.shape, adapted.lora_b.shape)
    adapted.lora_a, adapted.lora_b = mx.full((64, 4), 0.5), mx.full((4, 64), 0.25)

    np.testing.assert_allclose(before + 2, np.array(adapted(x)), rtol=1e-6)
    policy.merge()
    merged = policy.model.layers[0].self_attn.o_proj
    np.testing.assert_allclose(before + 2, np.array(merged(x)), rtol=1e-6)


def test_the_last_layers_can_be_adapted_alone(policy: Policy) -> None:
    last = len(policy.model.layers) - 1
    policy.attach(LoraConfig(layers=1), seed=3)
    assert {str(last)} == {name.split(".")[2] for name in trained(policy)}


def test_a_seed_draws_its_adapters_and_disturbs_no_other_draw(checkpoint: Folder) -> None:
    """Bit for bit, whatever was drawn before; what is drawn afterwards is as if nothing was."""

    def adapters(seed: int, drawn_before: int) -> tuple[dict[str, bytes], list[float]]:
        policy = load_policy(checkpoint("qwen2"))
        mx.random.seed(drawn_before)
        policy.attach(LORA, seed)
        after = mx.random.uniform(shape=(3,)).tolist()
        return {name: np.array(array).tobytes() for name, array in trained(policy).items()}, after

    one, after_one = adapters(seed=3, drawn_before=2**40 + 1)
    same, after_same = adapters(seed=3, drawn_before=2)
    other, _ = adapters(seed=4, drawn_before=2)

    assert one == same
    drawn = {name for name in one if name.endswith("lora_a")}
    assert drawn == {name for name in one if one[name] != other[name]}
    for seed, after in ((2**40 + 1, after_one), (2, after_same)):
        mx.random.seed(seed)
        assert mx.random.uniform(shape=(3,)).tolist() == after


def test_the_reference_is_the_base_model_over_the_same_arrays(policy: Policy) -> None:
    """Bit for bit before and after the adapters learn, whenever it is taken, and without a copy
    of a weight."""
    start = logits(policy.model)
    policy.attach(LORA, seed=3)
    early = policy.reference()
    np.testing.assert_array_equal(start, logits(early))
    learn(policy)
    held = mx.get_active_memory()
    size = sum(array.nbytes for array in arrays(policy.parameters()).values())

    late = policy.reference()

    assert mx.get_active_memory() - held < size / 10
    own = arrays(policy.parameters())
    for name, array in arrays(late.parameters()).items():
        adapted = name.replace(".weight", ".linear.weight").replace(".bias", ".linear.bias")
        assert array is (own[adapted] if adapted in own else own[name]), name
    assert np.abs(start - logits(policy.model)).max() > 0.01
    for reference in (early, late):
        np.testing.assert_array_equal(start, logits(reference))


def test_the_reference_of_full_training_stays_where_it_was_taken(policy: Policy) -> None:
    start = logits(policy.model)
    policy.attach(FullConfig(), seed=3)
    reference = policy.reference()

    learn(policy)

    assert trained(policy).keys() == arrays(policy.parameters()).keys()
    np.testing.assert_array_equal(start, logits(reference))
    assert np.abs(start - logits(policy.model)).max() > 0.01


def test_a_twin_has_the_adapters_and_follows_a_snapshot(policy: Policy) -> None:
    """The sampler's model: updated with the policy's parameters, while the policy goes on."""
    policy.attach(LORA, seed=3)
    learn(policy)
    twin = policy.twin()
    before = logits(policy.model)
    np.testing.assert_array_equal(before, logits(twin))
    snapshot = policy.parameters()

    learn(policy, seed=2)
    np.testing.assert_array_equal(before, logits(twin))
    twin.update(policy.parameters())
    np.testing.assert_array_equal(logits(policy.model), logits(twin))
    twin.update(snapshot)
    np.testing.assert_array_equal(before, logits(twin))


def test_merging_keeps_what_was_learned_and_makes_the_model_plain(policy: Policy) -> None:
    plain = {name: array.shape for name, array in arrays(policy.parameters()).items()}
    start = logits(policy.model)
    policy.attach(LORA, seed=3)
    learn(policy)
    adapted = logits(policy.model)

    policy.merge()

    assert np.abs(start - adapted).max() > 0.01
    np.testing.assert_allclose(adapted, logits(policy.model), rtol=0, atol=1e-5)
    assert plain == {name: array.shape for name, array in arrays(policy.parameters()).items()}
    assert plain.keys() == trained(policy).keys()
    np.testing.assert_array_equal(logits(policy.model), logits(policy.twin()))


def test_merging_into_bfloat16_weights_rounds_nothing_away(checkpoint: Folder) -> None:
    """B A is 0.0025 * 0.01 in each of 4 ranks, 1e-4, and the scale is 4: 4e-4 is added to a
    weight of 1, whose next bfloat16 is 78e-4 away."""
    policy = load_policy(checkpoint("qwen2"))
    policy.attach(LORA, seed=3)
    policy.model.set_dtype(mx.bfloat16)
    adapted = policy.model.layers[0].self_attn.o_proj
    adapted.linear.weight = mx.ones((64, 64), mx.bfloat16)
    adapted.lora_a, adapted.lora_b = mx.full((64, 4), 0.0025), mx.full((4, 64), 0.01)

    policy.merge()

    assert {mx.float32} == {array.dtype for array in arrays(policy.parameters()).values()}
    merged = np.array(policy.model.layers[0].self_attn.o_proj.weight)
    np.testing.assert_allclose(np.full((64, 64), 1.0004), merged, rtol=1e-6)


def test_the_next_stage_starts_from_the_merged_weights(policy: Policy) -> None:
    """With adapters of its own, and with a reference that is the stage's start, not the run's."""
    start = logits(policy.model)
    policy.attach(LORA, seed=3)
    first = {name: np.array(array) for name, array in trained(policy).items()}
    learn(policy)
    policy.merge()
    merged = logits(policy.model)

    policy.attach(LORA, seed=4)

    for name, array in trained(policy).items():
        fresh = np.array(array)
        assert not fresh.any() if name.endswith("lora_b") else (fresh != first[name]).any()
    np.testing.assert_array_equal(merged, logits(policy.model))
    np.testing.assert_array_equal(merged, logits(policy.reference()))
    assert np.abs(start - merged).max() > 0.01


def test_adapters_are_not_put_on_adapters(checkpoint: Folder) -> None:
    """The first ones would be frozen among the weights, and `merge` would leave them there."""
    policy = load_policy(checkpoint("qwen2"))
    policy.attach(LORA, seed=3)
    with pytest.raises(ValueError, match="has adapters already; merge them"):
        policy.attach(LORA, seed=4)


def test_a_checkpoint_has_merged_weights_and_the_policy_goes_on(
    policy: Policy, tmp_path: Path
) -> None:
    """Saved in mid-stage it is an ordinary checkpoint for everyone else; nothing of the policy
    changes, to the bit. Lfm2's convolutions are in the Hub's layout."""
    original = mx.load(str(policy.folder / "model.safetensors"))
    policy.attach(LORA, seed=3)
    learn(policy)
    before, adapted = base(policy), logits(policy.model)

    save_checkpoint(policy, tmp_path / "stage")

    np.testing.assert_array_equal(adapted, logits(policy.model))
    assert before == base(policy)
    assert all("lora_" in name for name in trained(policy))
    saved = mx.load(str(tmp_path / "stage" / "model.safetensors"))
    assert original.keys() == saved.keys()
    layout = {"qwen2": [], "lfm2": [(64, 1, 3)] * 2}[policy.config["model_type"]]
    assert layout == [saved[name].shape for name in saved if name.endswith("conv.conv.weight")]
    for model in (load_policy(tmp_path / "stage").model, mlx_lm.load(str(tmp_path / "stage"))[0]):
        np.testing.assert_allclose(adapted, logits(model), rtol=0, atol=1e-5)

    policy.merge()
    np.testing.assert_array_equal(
        logits(policy.model), logits(load_policy(tmp_path / "stage").model)
    )


class Kept:
    """A reporter that keeps everything."""

    def __init__(self) -> None:
        self.metrics: list[Mapping[str, float]] = []

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        self.metrics.append(metrics)


def short_stage(policy: Policy, skipped: Path, **trainer: Any) -> Kept:
    """Two steps in this process, sampled one step ahead, with a KL to the reference."""
    policy.tokenizer.end_of_turn_ids = frozenset(range(340))  # so that lengths differ
    prompts = [
        Prompt(Example(f"post {n}", "words", ("a reference",)), tuple(range(300, 305 + 5 * n)))
        for n in range(4)
    ]
    rollout, kept = LocalConfig(group_size=4, max_tokens=12), Kept()
    train(
        policy,
        prompts,
        Mixture((LengthConfig(target=8).build(),)),
        rollout.build(policy, 5),
        trainer=TrainerConfig(steps=2, prompts_per_step=2, learning_rate=3e-3, **trainer),
        rollout=rollout,
        advantage=ZScoreConfig(),
        loss=GrpoConfig(beta=0.1),
        correction=NoCorrection(),
        seed=5,
        reporter=kept,
        skipped=skipped,
    )
    return kept


@pytest.mark.parametrize("architecture", ["qwen2", "lfm2"])
@pytest.mark.parametrize("thrift", [{}, {"rollouts_per_chunk": 2, "checkpoint_layers": True}])
def test_training_moves_the_adapters_and_nothing_else(
    architecture: str, thrift: dict[str, Any], checkpoint: Folder, tmp_path: Path
) -> None:
    """In one pass and in chunks with checkpoints. Sampler and reference are the policy at first
    and one update behind it in the second step."""
    policy = load_policy(checkpoint(architecture))
    untouched = base(policy)
    policy.attach(LORA, seed=3)
    before = {name: np.array(array) for name, array in trained(policy).items()}

    kept = short_stage(policy, tmp_path, **thrift)

    assert untouched == base(policy)
    after = trained(policy)
    assert before.keys() == after.keys()
    moved = {name for name in before if (before[name] != np.array(after[name])).any()}
    assert before.keys() == moved
    first, second = kept.metrics
    assert first["loss/mismatch_kl"] < 1e-6 < second["loss/mismatch_kl"]
    assert abs(first["loss/kl_reference"]) < 1e-6 < second["loss/kl_reference"]

    policy.merge()
    assert untouched != base(policy)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rank": 0}, "tuning.rank must be at least 1, got 0"),
        ({"scale": 0.0}, "tuning.scale must lie in 1e-06 to 1e.06, got 0.0"),
        ({"scale": float("nan")}, "tuning.scale must lie in 1e-06 to 1e.06, got nan"),
        ({"scale": float("inf")}, "tuning.scale must lie in 1e-06 to 1e.06, got inf"),
        ({"layers": 0}, "tuning.layers must be at least 1, got 0.* set tuning.layers=null"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        LoraConfig(**changes)


def test_more_layers_than_the_model_has_are_refused(checkpoint: Folder) -> None:
    """mlx-lm would take those there are without a word."""
    policy = load_policy(checkpoint("qwen2"))
    LoraConfig(layers=2).check(policy.model)
    with pytest.raises(ConfigError, match=r"tuning.layers=3, but this model has 2; set"):
        policy.attach(LoraConfig(layers=3), seed=3)
    assert trained(policy).keys() == arrays(policy.parameters()).keys()
