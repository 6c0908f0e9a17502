"""Any value of any key: a configuration that can be built, or an error that names the key."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest
from conf.needed import NEEDED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tersely.config import GROUPS, load, resolved_yaml
from tersely.errors import ConfigError, TerselyError
from tersely.evaluation.judges.config import JudgeConfig
from tersely.objective.advantages import AdvantageConfig
from tersely.rewards.length import LengthConfig
from tersely.rewards.quality import RewardConfig
from tersely.rollout.decode import Transform
from tersely.rollout.sampler import RolloutConfig
from tersely.rollout.vllm.config import VllmConfig, VllmLocalConfig

CHOICES = list(
    {
        (group, schema): (group, choice)
        for group, known in GROUPS.items()
        for choice, schema in known.choices.items()
    }.values()
)
"""One choice for each dataclass of each group."""

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, -(10**30), 2**31, 2**63, 2**64, 0, -1, 1]),
    st.floats(),
    st.sampled_from([1e-320, 1e308, -1e308, 5e-324, 1e-39, 1e39]),
    st.text(max_size=20),
    st.sampled_from(
        [
            *("", " ", "~nobody-of-this-name/x", "x" * 5000, "\0", "\ud800", "a\nb", "../.."),
            *("http://[", "http://h:99999", "http://\ud800", "http://user:pass@h/v1", "sqlite:///"),
            *("${nothing}", "${seed}", "${", "${oc.env:NOBODY_SET_THIS}", "???", "null"),
        ]
    ),
    st.lists(st.text(max_size=10) | st.sampled_from(["http://[", "http://h:0", ""]), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(("group", "choice"), CHOICES, ids=["=".join(each) for each in CHOICES])
def test_any_value_is_loaded_or_refused_in_one_paragraph(
    group: str, choice: str, composed: Callable[..., DictConfig]
) -> None:
    """Refused by OmegaConf, as the wrong type, or by `load`, as the wrong value."""
    tree = composed(f"{group}={choice}", *NEEDED.get((group, choice), ()))
    names = [field.name for field in fields(GROUPS[group].choices[choice])]

    @given(name=st.sampled_from([*names, None]), value=odd)
    @settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
    def draw(name: str | None, value: object) -> None:
        changed = tree.copy()
        try:
            OmegaConf.update(changed, f"{group}.{name}" if name else group, value)
            config = load(changed)
        except OmegaConfBaseException:
            return  # a paragraph as well, see `launch.paragraph`
        except ConfigError as error:
            assert str(error).strip()
            return
        resolved_yaml(changed)
        build(getattr(config, group))

    draw()


def build(choice: Any) -> None:
    """What `prepare` makes of a choice, as far as that needs no model, data or server."""
    if isinstance(choice, AdvantageConfig):
        low, high = choice.build()([0.0, 1.0])
        assert low < 0 < high
    elif isinstance(choice, LengthConfig):
        choice.build()
    elif isinstance(choice, RewardConfig):
        choice.quality()
    elif isinstance(choice, RolloutConfig):
        check_sampling(choice)
    elif isinstance(choice, JudgeConfig) and not hasattr(choice, "base_url"):
        choice.build()


def check_sampling(rollout: RolloutConfig) -> None:
    """A token can be drawn, and its log-probability is a number."""
    import mlx.core as mx

    transform = Transform(rollout.temperature, rollout.top_p)
    logprobs = transform.logprobs(mx.array([[20.0, 0.0, -20.0]]))
    assert mx.isfinite(logprobs).all().item()
    token = transform.draw(logprobs, mx.random.key(0)).item()
    if rollout.top_p < 0.3 and rollout.temperature < 1:
        assert 0 == token


REFUSED: list[tuple[str, str, dict[str, object], str]] = [
    # each of these was taken, and led to a traceback, an endless wait or a silent zero
    ("advantage", "zscore", {"epsilon": float("inf")}, r"advantage\.epsilon must be above 0"),
    ("advantage", "zscore", {"epsilon": 1e300}, r"advantage\.epsilon"),
    ("data", "generated", {"train": 10**30}, r"data\.train"),
    ("judge", "panel", {"base_url": "http://["}, r"judge\.base_url is no address"),
    ("judge", "panel", {"base_url": "http://h:99999/v1"}, r"judge\.base_url is no address"),
    ("judge", "panel", {"cache_folder": " "}, r"judge\.cache_folder is empty"),
    ("judge", "panel", {"rounds": 10**30}, r"judge\.rounds"),
    ("judge", "panel", {"attempts": 1001}, r"judge\.attempts"),
    ("judge", "panel", {"timeout_s": 1e308}, r"judge\.timeout_s"),
    ("length", "absolute", {"weight": 1e308}, r"length\.weight"),
    ("loss", "grpo", {"beta": 1e308}, r"loss\.beta"),
    ("prompt", "plain", {"system": "\ud800"}, r"prompt\.system"),
    ("reward", "bleu", {"bleu_weight": 1e-320}, r"reward\.bleu_weight"),
    ("rollout", "local", {"temperature": 1e-320}, r"rollout\.temperature"),
    ("rollout", "local", {"temperature": 1e308}, r"rollout\.temperature"),
    ("rollout", "local", {"top_p": 1e-320}, r"rollout\.top_p"),
    ("rollout", "local", {"group_size": 10**30}, r"rollout\.group_size"),
    ("rollout", "local", {"max_tokens": 10**30}, r"rollout\.max_tokens"),
    ("rollout", "vllm", {"workers": ["http://["]}, r"rollout\.workers"),
    ("rollout", "vllm", {"workers": ["http://a b:1"]}, r"rollout\.workers"),
    ("rollout", "vllm", {"publish_host": ""}, r"rollout\.publish_host"),
    ("rollout", "vllm", {"publish_host": "\u00e9" * 300}, r"rollout\.publish_host"),
    ("rollout", "vllm", {"publish_folder": " "}, r"rollout\.publish_folder"),
    ("rollout", "vllm", {"patience_s": 1e308}, r"rollout\.patience_s"),
    ("rollout", "vllm_local", {"port": -1}, r"rollout\.port"),
    ("rollout", "vllm_local", {"context": -1}, r"rollout\.context"),
    ("rollout", "vllm_local", {"context": 100}, r"rollout\.context"),
    ("rollout", "vllm_local", {"python": ""}, r"rollout\.python"),
    ("trainer", "default", {"steps": 1, "best_by": "meteor"}, r"set trainer\.evaluate_every"),
    ("tuning", "lora", {"rank": 2**31}, r"tuning\.rank"),
    ("tuning", "lora", {"scale": 1e308}, r"tuning\.scale"),
]


@pytest.mark.parametrize(("group", "choice", "values", "said"), REFUSED)
def test_what_no_run_could_mean_is_refused(
    group: str, choice: str, values: dict[str, object], said: str
) -> None:
    needed: dict[str, Any] = {}
    for override in NEEDED.get((group, choice), ()):
        key, _, value = override.partition("=")
        needed[key.partition(".")[2]] = ["http://127.0.0.1:1"] if "workers" in key else value
    with pytest.raises(ConfigError, match=said):
        GROUPS[group].choices[choice](**(needed | values))


def test_an_address_is_one_even_with_a_port_that_is_none() -> None:
    """Errors of the standard library are no tracebacks here."""
    for worker in ("http://h:x", "http://h:99999", "ftp://h:1", "h:1", "http://:1"):
        with pytest.raises(TerselyError):
            VllmConfig(workers=[worker])
    assert VllmLocalConfig(context=4096, max_tokens=512).context == 4096
