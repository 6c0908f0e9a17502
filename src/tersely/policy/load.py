"""Load a checkpoint in the Hub's layout as a policy that can be trained."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tersely.errors import ConfigError, ModelError
from tersely.paths import typed_path
from tersely.policy.tuning import FullConfig, TuningConfig

if TYPE_CHECKING:
    import mlx.nn as nn

    from tersely.policy.tokenizer import Tokenizer

log = logging.getLogger(__name__)

TINY = Path(__file__).parent / "tiny"
"""The embedded checkpoint; `policy/warm_start.py` makes it."""

MOST_IDS = 1 << 31
"""What an id of MLX can be."""

LOADED = {".json", ".safetensors", ".jinja", ".txt", ".model"}
"""Files of a checkpoint that weights, tokenizer and configuration are read from."""


@dataclass
class ModelConfig:
    """Base of the Hydra group `model`."""

    def folder(self) -> Path:
        """Where the checkpoint lies on this machine. Raises `ModelError`."""
        raise NotImplementedError

    def build(self) -> "Policy":
        """Load it."""
        return load_policy(self.folder())


@dataclass
class TinyModelConfig(ModelConfig):
    """`model=tiny`: the embedded model of a million parameters."""

    def folder(self) -> Path:
        """Part of the package."""
        return TINY


@dataclass
class LocalModelConfig(ModelConfig):
    """`model=local`: any checkpoint folder that mlx-lm loads."""

    path: str = ""
    """Folder with `config.json`, `model*.safetensors` and a tokenizer with a chat template."""

    def __post_init__(self) -> None:
        if not self.path.strip():
            raise ConfigError(
                "model=local needs a checkpoint and model.path is not set; set model.path=FOLDER, "
                "a folder in the Hub's layout"
            )

    def folder(self) -> Path:
        """`path`, if it is a checkpoint."""
        folder = typed_path(self.path, "model.path")
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"model.path={self.path} is not a checkpoint: there is no "
                f"{folder / 'config.json'}; set model.path to a folder in the Hub's layout"
            )
        return folder


@dataclass
class HubModelConfig(ModelConfig):
    """A checkpoint on the Hugging Face Hub, taken from its cache where it lies there."""

    repo: str = ""
    """`owner/name` on the Hub."""

    def folder(self) -> Path:
        """The cached snapshot, downloaded if need be."""
        from huggingface_hub import snapshot_download

        patterns = ["*.json", "*.safetensors", "*.jinja", "tokenizer*", "*.txt"]
        try:
            return Path(snapshot_download(self.repo, allow_patterns=patterns))
        except Exception as error:  # the hub client raises many kinds, all of them "not reached"
            said = str(error).strip().partition("\n")[0]
            reason = f"{type(error).__name__}: {said}".rstrip(": ")
            raise ModelError(
                f"{self.repo} is neither in the local Hub cache nor could it be fetched "
                f"({reason}); connect this machine once, or copy the checkpoint here and set "
                "model=local model.path=FOLDER"
            ) from error


class Policy:
    """A model, its tokenizer, and where both came from."""

    def __init__(
        self, model: "nn.Module", tokenizer: "Tokenizer", config: dict[str, Any], folder: Path
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.config = config
        self.folder = folder
        self.tuning: TuningConfig = FullConfig()
        """What the stage that goes on trains."""

    def attach(self, tuning: TuningConfig, seed: int) -> None:
        """Begin a stage: from here on `model.trainable_parameters()` is what `tuning` trains.

        What the model computes stays the same. Raises `ConfigError` where `tuning` does not fit
        the model, and `ValueError` where the adapters of the stage before were not merged.
        """
        tuning.check(self.model)
        tuning.attach(self.model, seed)
        self.tuning = tuning
        trained = _count(self.model.trainable_parameters())
        log.info(
            "%s of %s parameters are trained", f"{trained:,}", f"{_count(self.parameters()):,}"
        )

    def merge(self) -> None:
        """End a stage: what was learned is in the weights, and the model is as it was loaded, in
        float32, whatever `trainer.precision` stored it in meanwhile."""
        import mlx.core as mx

        from tersely.policy.lora import merge

        merge(self.model)
        self.model.set_dtype(mx.float32)
        mx.eval(self.model.parameters())
        self.tuning = FullConfig()

    def twin(self) -> "nn.Module":
        """A second model object over the same arrays, adapters included: nothing is copied, and
        updating one leaves the other as it was."""
        import mlx.core as mx

        twin = _load_model(self.folder, lazy=True)[0]
        self.tuning.attach(twin, seed=0)  # to give it the structure; its numbers come next
        twin.update(self.model.parameters())
        # What is no parameter (the frequencies of a scaled rope) is still to be computed, which
        # only the thread that asked for it can do, and a twin is made for other threads.
        mx.eval(twin.state)
        return twin

    def reference(self) -> "nn.Module":
        """The policy of the stage's start as a second model object, to be taken at that moment.
        Nothing is copied: with adapters it is the model without them, over the same arrays."""
        from tersely.policy.lora import detach

        reference = self.twin()
        detach(reference)
        return reference

    def parameters(self) -> dict[str, Any]:
        """The parameter tree, adapters included; holds references, so later updates do not
        change it."""
        parameters: dict[str, Any] = self.model.parameters()
        return parameters

    def merged_parameters(self) -> dict[str, Any]:
        """The parameter tree of the checkpoint's own architecture: adapters are added to the
        weights beside them. The policy keeps its adapters."""
        from tersely.policy.lora import merge

        twin = self.twin()
        merge(twin)
        merged: dict[str, Any] = twin.parameters()
        return merged

    def vocabulary(self) -> int:
        """Token ids that the model knows, from 0 on, as far as its configuration says so."""
        text: Any = self.config.get("text_config")
        for config in (self.config, text if isinstance(text, dict) else {}):
            if type(known := config.get("vocab_size")) is int:
                return known
        return MOST_IDS

    def context_length(self) -> int | None:
        """Most tokens of prompt and completion together, where the checkpoint says so."""
        length = self.config.get("max_position_embeddings")
        return length if type(length) is int and length > 0 else None


def load_policy(folder: Path) -> Policy:
    """Load a checkpoint in float32, in which updates of any size count.

    Raises `ModelError` naming the folder and what mlx-lm or the tokenizer said.
    """
    import mlx.core as mx

    from tersely.policy.cpu_functions import use_cpu_functions
    from tersely.policy.soundness import check_end_ids, check_files, check_output, check_weights
    from tersely.policy.tokenizer import load_tokenizer

    check_files(folder)
    model, config = _load_model(folder, lazy=False)
    if config.get("quantization") or config.get("quantization_config"):
        raise ModelError(
            f"the checkpoint in {folder} is quantized, and quantized weights cannot be trained: "
            "an update would reach its norms and biases alone; take the bf16 or float32 original"
        )
    check_weights(model, folder)
    use_cpu_functions(model)
    model.set_dtype(mx.float32)
    mx.eval(model.parameters())
    # mlx-lm has put generation_config.json's in place of config.json's.
    ends = check_end_ids(config.get("eos_token_id"), config.get("vocab_size"), folder)
    tokenizer = load_tokenizer(folder, ends)
    check_end_ids(sorted(tokenizer.end_of_turn_ids), config.get("vocab_size"), folder)
    check_output(model, tokenizer.end_of_turn, folder)
    log.info("policy: %s, %s parameters", folder, f"{_count(model.parameters()):,}")
    return Policy(model, tokenizer, config, folder)


def checkpoint_fingerprint(folder: Path) -> str:
    """16 hex digits of the configuration, tokenizer and weights in a checkpoint folder."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.iterdir()):
        if path.suffix in LOADED and path.is_file():
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
    return digest.hexdigest()


def _load_model(folder: Path, *, lazy: bool) -> "tuple[nn.Module, dict[str, Any]]":
    from mlx_lm.utils import load_model

    try:
        model, config = load_model(folder, lazy=lazy)
    # Code that a checkpoint brings along (`model_file`) is refused here: it is not asked for.
    except Exception as error:  # mlx-lm and MLX raise nearly any kind for a wrong configuration
        said = str(error).partition("\n")[0].rstrip(" :.") or type(error).__name__
        raise ModelError(
            f"mlx-lm cannot load the checkpoint in {folder}: {said}; it needs config.json of an "
            "architecture that mlx-lm knows and matching, complete model*.safetensors"
        ) from error
    return model, config


def _count(parameters: dict[str, Any]) -> int:
    from mlx.utils import tree_flatten

    return sum(int(array.size) for _, array in tree_flatten(parameters))
