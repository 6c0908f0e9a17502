import sys

import pytest

from tersely.errors import ConfigError
from tersely.rollout.vllm.serving.options import ServeOptions, parse


def test_values_have_the_types_of_their_keys() -> None:
    options = parse(["model=tiny", "port=0", "timeout_s=2.5", "python=/a=b/python"])
    expected = ServeOptions("tiny", port=0, timeout_s=2.5, python="/a=b/python")
    assert expected == options


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("prot=8001", "there is no key prot; did you mean port?"),
        ("quantization=int8", "there is no key quantization; the keys are model, host, port"),
        ("tiny", "'tiny' is not KEY=VALUE, as in port=8000"),
        ("model=other", "model is given twice"),
        ("port=http", "port must be a whole number, got 'http'"),
        ("port=65536", "port must lie in 0 to 65535, got 65536"),
        ("lora_rank=257", "lora_rank must lie in 0 to 256, got 257"),
        ("context=-1", "context must be at least 1, or 0 for the model's, got -1"),
        ("dtype=int8", "dtype must be one of auto, float32, bfloat16, float16, got int8"),
        ("timeout_s=0", "timeout_s must be above 0, got 0"),
        ("timeout_s=nan", "timeout_s must be above 0, got nan"),
    ],
)
def test_a_mistake_is_said_with_its_remedy(argument: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(["model=tiny", argument])
    assert said in str(raised.value)


def test_there_is_no_default_model() -> None:
    with pytest.raises(ConfigError, match="model is not set"):
        parse(["port=8000"])


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.11", "::", "worker.lan"])
def test_other_machines_come_in_with_a_token_alone(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """An empty token is none."""
    for unset in ("", None):
        monkeypatch.delenv("TERSELY_TOKEN", raising=False)
        if unset is not None:
            monkeypatch.setenv("TERSELY_TOKEN", unset)
        with pytest.raises(ConfigError, match="set TERSELY_TOKEN to a secret"):
            parse(["model=tiny", f"host={host}"])
    monkeypatch.setenv("TERSELY_TOKEN", "geheim")
    assert host == parse(["model=tiny", f"host={host}"]).host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_needs_none(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.delenv("TERSELY_TOKEN", raising=False)
    assert host == parse(["model=tiny", f"host={host}"]).host


def test_the_interpreter_is_the_named_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERSELY_VLLM_PYTHON", "/vllm/bin/python")
    assert "/vllm/bin/python" == parse(["model=tiny"]).python
    assert "/other/python" == parse(["model=tiny", "python=/other/python"]).python


@pytest.mark.skipif(sys.platform == "darwin", reason="on a Mac that of vllm-metal comes before")
def test_or_that_of_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TERSELY_VLLM_PYTHON", raising=False)
    assert "python" == parse(["model=tiny"]).python
