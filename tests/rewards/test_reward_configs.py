"""The choices of the group `reward`: their terms, their checks, their lightness."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tersely.errors import ConfigError
from tersely.records import Group
from tersely.rewards.bleu import BleuConfig
from tersely.rewards.combined import BleuRougeConfig, MeteorBleuConfig, MeteorRougeConfig
from tersely.rewards.matching import Matching
from tersely.rewards.meteor import MeteorConfig
from tersely.rewards.overlap import OVERLAP, overlap_metrics
from tersely.rewards.quality import RewardConfig, best
from tersely.rewards.rouge import RougeConfig, rouge_l

CHOICES: dict[type[RewardConfig], set[str]] = {
    RewardConfig: set(),
    RougeConfig: {"rouge"},
    MeteorConfig: {"meteor"},
    BleuConfig: {"bleu"},
    MeteorRougeConfig: {"meteor", "rouge"},
    MeteorBleuConfig: {"meteor", "bleu"},
    BleuRougeConfig: {"bleu", "rouge"},
}


def test_best_reference_counts() -> None:
    """Against "b" the summary scores 0, against "a x" 2 * (1/2 * 1) / (3/2) = 2/3."""
    assert pytest.approx(2 / 3) == best(rouge_l, "a", ["b", "a x"])
    assert best(rouge_l, "a", ["b"]) == 0.0


@pytest.mark.parametrize("blank", ["", " \n"])
def test_blank_summary_is_not_scored(blank: str) -> None:
    """A blank summary scores 0 whatever the metric would say."""
    assert best(lambda summary, reference: 1.0, blank, ["a"]) == 0.0


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.__name__)
def test_terms_and_weights(
    choice: type[RewardConfig], user_cache: Path, make_group: Callable[..., Group]
) -> None:
    """Every choice has its terms, and weights for these alone."""
    names = CHOICES[choice]
    terms = choice().quality()
    group = make_group(["the cat sat on the mat", ""], ["no match", "the cat sat on the mat"])

    assert names == {term.name for term in terms}
    assert len(names) == len(terms)
    weights = {f"{name}_weight" for name in names}
    assert weights == {field.name for field in fields(choice) if field.name.endswith("_weight")}
    # METEOR of six equal words in one chunk: 1 - 0.5 * (1/6)^3.
    perfect = {"rouge": 1.0, "bleu": 1.0, "meteor": 1 - 0.5 / 216}
    for term in terms:
        assert [pytest.approx(perfect[term.name]), 0.0] == term.score(group)


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.__name__)
def test_composes(choice: type[RewardConfig]) -> None:
    """OmegaConf takes every choice as a schema and gives the same object back."""
    assert choice() == OmegaConf.to_object(OmegaConf.structured(choice))


def test_values_reach_the_terms(make_group: Callable[..., Group]) -> None:
    """Weights, smoothing and matching set by name act in the terms."""
    schema = OmegaConf.structured(MeteorBleuConfig)
    values = ["meteor_weight=2", "meteor_matching=exact_and_stem", "bleu_smooth=false"]
    config = OmegaConf.to_object(OmegaConf.merge(schema, OmegaConf.from_dotlist(values)))
    assert isinstance(config, MeteorBleuConfig)
    bleu, meteor = config.quality()
    group = make_group(["the quick car"], ["the fast automobile"])

    assert config.meteor_matching is Matching.exact_and_stem
    assert (meteor.weight, bleu.weight) == (2.0, 1.0)
    assert bleu.score(group) == [0.0]
    # One word of three matches: (1 - 0.5) * 1/3.
    assert [pytest.approx(1 / 6)] == meteor.score(group)


@pytest.mark.parametrize("choice", [MeteorRougeConfig, BleuRougeConfig, RougeConfig])
@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_wrong_weights(choice: type[RougeConfig], weight: float) -> None:
    """Every parent's weight is checked, also behind another parent."""
    with pytest.raises(ConfigError, match=rf"reward\.rouge_weight must be .*got {weight}"):
        choice(rouge_weight=weight)


@pytest.mark.parametrize(
    ("choice", "key"), [(BleuConfig, "bleu_weight"), (MeteorConfig, "meteor_weight")]
)
def test_wrong_weights_name_their_key(choice: type[RewardConfig], key: str) -> None:
    """The message names the key of the weight at fault."""
    with pytest.raises(ConfigError, match=rf"reward\.{key} "):
        choice(**{key: 0.0})


def test_length_alone_still_says_how_to_score(user_cache: Path) -> None:
    """Every run is scored by all three metrics, so every choice says how METEOR and BLEU count."""
    metrics = overlap_metrics(RewardConfig(Matching.exact_and_stem, bleu_smooth=False))
    scores = {name: metric("the quick car", "the fast car") for name, metric in metrics.items()}

    # ROUGE-L: "the car" of 3 and 3 words. METEOR: two words in two chunks, (1 - 0.5) * 2/3.
    # BLEU-4: no 4-gram in three words.
    assert scores == pytest.approx({"rouge_l": 2 / 3, "meteor": 1 / 3, "bleu": 0.0})
    assert list(OVERLAP) == list(scores)


def test_light_to_import() -> None:
    """The schemas load nothing heavy, so that --help stays fast."""
    heavy = {"nltk", "rapidfuzz", "numpy", "mlx", "rouge_score", "omegaconf"}
    code = f"import sys, tersely.rewards.combined; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
