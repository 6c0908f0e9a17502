"""Gives a running vLLM server other weights: `--worker-extension-cls`, inside its workers.

Methods are called over `POST /collective_rpc`. Their names begin with `tersely_`, because vLLM
refuses an extension that has a name of its own worker classes.
"""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from .fetching import Source, fetched, kept
from .tensors import Misfit, check_fits, renew_tied_heads, shapes_in, tensors_in

FOLDER_VARIABLE = "TERSELY_SERVE_FOLDER"
WEIGHTS = {".safetensors", ".bin", ".pt", ".pth"}


class WeightReceiver:
    """Methods that vLLM adds to its worker class."""

    vllm_config: Any
    """Of vLLM's worker, as is the rest that is not defined here."""
    model_runner: Any

    def tersely_describe(self) -> dict[str, Any]:
        """How this worker computes."""
        import vllm  # type: ignore[import-not-found]

        model, lora = self.vllm_config.model_config, self.vllm_config.lora_config
        return {
            "vllm": vllm.__version__,
            "model": model.model,
            "dtype": str(model.dtype).removeprefix("torch."),
            "max_model_len": model.max_model_len,
            "logprobs_mode": str(model.logprobs_mode),
            "max_lora_rank": lora.max_lora_rank if lora else 0,
        }

    def tersely_reload(self, source: Source) -> dict[str, Any]:
        """Take the weights of `source` in place of the present ones.

        Returns `problem`, None if all went well; `misfit`, whether that is because they are
        another model's; `touched`, whether the model was changed, which it is not before all
        files are there, are what was published, and fit; and `seconds` of its parts.
        """
        began, touched, seconds = time.perf_counter(), False, {}
        try:
            with fetched(source) as folder:
                files = [folder / name for name in sorted(source["checksums"])]
                check_fits(shapes_in(files), Path(self.vllm_config.model_config.model))
                seconds["fetch"] = time.perf_counter() - began
                touched = True
                self.reload_weights(weights_iterator=tensors_in(files))  # type: ignore[attr-defined]
            renew_tied_heads(self.model_runner.get_model())
            seconds["load"] = time.perf_counter() - began - seconds["fetch"]
            problem, misfit = None, False
        except Exception as error:  # whatever it is, the trainer needs to know about `touched`
            problem, misfit = f"{type(error).__name__}: {error}", isinstance(error, Misfit)
        return {"problem": problem, "misfit": misfit, "touched": touched, "seconds": seconds}

    def tersely_fetch(self, source: Source) -> dict[str, str]:
        """Bring the files of `source` to this machine, if it does not see the trainer's own;
        `path` is where they are."""
        return {"path": str(kept(source, _folder() / "adapters"))}

    def tersely_restart(self, source: Source) -> dict[str, str]:
        """Ask `tersely.rollout.serve` to start this server again with the weights of `source`,
        the tag being the model's name."""
        model = kept(source, _folder() / "models", copied=True)
        for other in Path(self.vllm_config.model_config.model).iterdir():
            if other.is_file() and other.suffix not in WEIGHTS and ".index." not in other.name:
                shutil.copyfile(other, model / other.name)
        note = _folder() / "restart.json"
        part = note.with_suffix(".part")
        part.write_text(json.dumps({"model": str(model), "name": source["tag"]}))
        part.replace(note)  # whole or not at all
        return {"path": str(model)}


def _folder() -> Path:
    if FOLDER_VARIABLE not in os.environ:
        raise RuntimeError(
            f"{FOLDER_VARIABLE} is not set: this server was not started by tersely.rollout.serve"
        )
    return Path(os.environ[FOLDER_VARIABLE])
