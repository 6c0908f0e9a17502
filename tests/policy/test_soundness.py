"""Checkpoints of strangers: what is not sound is named, and nothing of them is run."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from conftest import SPECK, write_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from tersely.errors import ModelError
from tersely.policy.load import LocalModelConfig, load_policy
from tersely.policy.tokenizer import load_tokenizer

Harm = Callable[[Path], object]
WEIGHTS = "model.safetensors"
CODE = "import pathlib\npathlib.Path({ran!r}).touch()\nclass Model: ...\nclass ModelArgs: ...\n"


@pytest.fixture
def copy(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A checkpoint that a test may damage."""
    return shutil.copytree(checkpoint("speck"), tmp_path / "copy")


def in_json(name: str, **changes: object) -> Harm:
    def harm(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return harm


def in_weights(change: Callable[[mx.array], mx.array]) -> Harm:
    def harm(folder: Path) -> None:
        weights: Any = mx.load(str(folder / WEIGHTS))
        name = "model.norm.weight"
        changed = weights | {name: change(weights[name])}
        mx.save_safetensors(str(folder / "other"), changed, metadata={"format": "pt"})
        (folder / "other.safetensors").replace(folder / WEIGHTS)

    return harm


def in_header(change: Callable[[dict[str, Any]], object]) -> Harm:
    """`change` gets name to description, without the metadata."""

    def harm(folder: Path) -> None:
        raw = (folder / WEIGHTS).read_bytes()
        (size,) = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8 : 8 + size])
        metadata = header.pop("__metadata__")
        change(header)
        written = json.dumps({"__metadata__": metadata} | header).encode()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(written)) + written + raw[8 + size :])

    return harm


def on_the_same_bytes(header: dict[str, Any]) -> None:
    for tensor in header.values():
        start, end = tensor["data_offsets"]
        tensor["data_offsets"] = [0, end - start]


def template(text: str) -> Harm:
    return lambda folder: (folder / "chat_template.jinja").write_text(text)


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def renamed(folder: Path) -> None:
    """As a folder that other training has left; nothing there is pickled weights."""
    (folder / WEIGHTS).rename(folder / "weights.00.safetensors")
    (folder / "training_args.bin").write_bytes(pickle.dumps({}))


DAMAGE: dict[str, tuple[Harm, str]] = {
    # mlx-lm would load these without a word
    "two tensors over the same bytes": (in_header(on_the_same_bytes), "no sound safetensors"),
    "whole numbers": (in_weights(lambda a: a.astype(mx.int32)), "of type int32"),
    "yes and no": (in_weights(lambda a: a > 0), "of type bool"),
    "NaN": (in_weights(lambda a: a * float("nan")), r"norm\.weight .* not finite"),
    "infinity": (in_weights(lambda a: a * float("inf")), "not finite"),
    "an epsilon that is none": (in_json("config.json", rms_norm_eps=float("nan")), "not finite"),
    "a rope without a base": (in_json("config.json", rope_theta=0), "not finite"),
    "a rope of another kind": (in_json("config.json", rope_theta="x"), "cannot compute"),
    "a generation config cut short": (
        lambda folder: (folder / "generation_config.json").write_text('{"eos_token_id": 1'),
        "generation_config",
    ),
    "an end that is no number": (
        lambda folder: (folder / "generation_config.json").write_text('{"eos_token_id": "x"}'),
        "eos_token_id",
    ),
    "an end below 0": (in_json("config.json", eos_token_id=-1), "eos_token_id .* -1"),
    "an end beyond the vocabulary": (in_json("config.json", eos_token_id=2048), "2048 is no id"),
    "a template without the post": (template("hello"), "leaves out what the user says"),
    # these ended in a traceback
    "no heads": (in_json("config.json", num_attention_heads=0), "cannot load"),
    "no rows": (in_json("config.json", vocab_size=-3), "cannot load.*AssertionError"),
    "too many rows": (in_json("config.json", vocab_size=10**13), "cannot load"),
    "an end in a list in a list": (in_json("config.json", eos_token_id=[[1]]), "eos_token_id"),
    "a template that divides": (template("{{ 1 / 0 }}"), "division by zero"),
    "a template that adds": (template("{{ messages + 5 }}"), "concatenate"),
    "a template that counts": (template("{% for i in range(10**8) %}{% endfor %}"), "too big"),
    # these never did; here so that it stays so
    "weights of another name": (renamed, r"no model\*\.safetensors.* has weights\.00\.safetensors"),
    "pickled weights": (pickled, "pytorch_model.bin .* pickle"),
    "weights that are a pickle": (
        lambda folder: (folder / WEIGHTS).write_bytes(pickle.dumps({"a": 1})),
        "no sound safetensors",
    ),
    "the last bytes missing": (
        lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100]),
        "no sound safetensors",
    ),
    "a template that looks around": (template("{{ ''.__class__.__mro__ }}"), "unsafe"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_sound_is_named(damage: str, copy: Path) -> None:
    """With the folder and what is wrong, in one paragraph."""
    harm, said = DAMAGE[damage]
    harm(copy)

    with pytest.raises(ModelError, match=said) as caught:
        LocalModelConfig(str(copy)).build()

    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("beside", ["pytorch_model.bin", "vocab.pkl", WEIGHTS])
def test_no_pickle_is_opened(beside: str, copy: Path, tmp_path: Path) -> None:
    """Neither beside sound weights nor in their place, and that it would run is certain."""
    ran = tmp_path / "ran"
    payload = pickle.dumps(Payload(ran))
    pickle.loads(payload).close()
    assert ran.exists()
    ran.unlink()

    (copy / beside).write_bytes(payload)
    if beside == WEIGHTS:
        with pytest.raises(ModelError, match="no sound safetensors"):
            load_policy(copy)
    else:
        load_policy(copy)

    assert not ran.exists()


AUTO_MAP = {
    "AutoConfig": "theirs.Model",
    "AutoModelForCausalLM": "theirs.Model",
    "AutoTokenizer": ["theirs.Model", "theirs.Model"],
}
BROUGHT_ALONG: dict[str, tuple[list[Harm], str]] = {
    "a file of the model": ([in_json("config.json", model_file="theirs.py")], "cannot load"),
    "a map of classes": (
        [
            in_json("config.json", auto_map=AUTO_MAP),
            in_json("tokenizer_config.json", auto_map=AUTO_MAP),
        ],
        "",
    ),
    "a map, and a class that nobody knows": (
        [
            in_json("config.json", auto_map=AUTO_MAP),
            in_json("tokenizer_config.json", auto_map=AUTO_MAP, tokenizer_class="Theirs"),
        ],
        "",
    ),
    "a map, and an architecture that nobody knows": (
        [in_json("config.json", auto_map=AUTO_MAP, model_type="theirs")],
        "theirs not supported",
    ),
}


@pytest.mark.parametrize("case", BROUGHT_ALONG)
def test_no_code_of_a_checkpoint_is_run(
    case: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody is asked at the keyboard whether it may be."""
    ran = tmp_path / "ran"
    (copy / "theirs.py").write_text(CODE.format(ran=str(ran)))
    monkeypatch.setattr("builtins.input", lambda *prompt: pytest.fail("asked at the keyboard"))
    harms, said = BROUGHT_ALONG[case]
    for harm in harms:
        harm(copy)

    if said:
        with pytest.raises(ModelError, match=said):
            load_policy(copy)
    else:
        load_policy(copy)

    assert not ran.exists()


def test_only_code_of_transformers_is_asked_for(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left open, `trust_remote_code` is a question at the keyboard, which a terminal answers."""
    from transformers import AutoTokenizer

    load = AutoTokenizer.from_pretrained
    asked: list[object] = []

    def from_pretrained(*args: Any, **options: Any) -> Any:
        asked.append(options["trust_remote_code"])
        return load(*args, **options)

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", from_pretrained)
    load_tokenizer(copy)
    assert [False] == asked


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3000),
    st.floats(),
    st.text(max_size=4),
    st.lists(st.integers(0, 9), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
)


@given(key=st.sampled_from(sorted({*SPECK, "eos_token_id", "rope_scaling"})), value=values)
@settings(max_examples=40)
def test_any_value_in_config_json_is_computed_with_or_named(
    key: str, value: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is loaded gives finite logits."""
    folder = tmp_path_factory.mktemp("drawn") / "copy"
    write_checkpoint(folder, SPECK)
    # Written out, a model of so many layers would only take its time.
    if key == "num_hidden_layers" and isinstance(value, int | float) and value > 10:
        value = 3
    in_json("config.json", **{key: value})(folder)
    try:
        policy = load_policy(folder)
    except ModelError as error:
        assert str(folder) in str(error)
    else:
        assert mx.isfinite(policy.model(mx.array([[1, 2, 3]]))).all().item()
