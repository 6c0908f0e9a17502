"""Make the embedded model: tokenizer, architecture and supervised warm start, from nothing.

`python -m tersely.policy.warm_start FOLDER` writes a checkpoint in the Hub's layout. The model
learns to summarise generated training posts in the manner of a small instruct model before
any reinforcement learning: with the right facts, but too wordy and of uneven length (see
`data/wordy.py`). References and the other splits are never seen.
"""

import json
import logging
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tersely.data.generated import GeneratedConfig
from tersely.data.prompts import PlainPrompt
from tersely.data.story.verbose import LEVELS
from tersely.data.wordy import wordy_summary
from tersely.policy.allocator import keep_freed_memory
from tersely.policy.blas import load_fast_blas
from tersely.records import Example
from tersely.seeds import derive

if TYPE_CHECKING:
    import mlx.core as mx
    import mlx.nn as nn

    from tersely.policy.logprobs import Scorer
    from tersely.policy.tokenizer import Tokenizer

log = logging.getLogger(__name__)

SEED = 64
SHORT_POST = 110
"""Words up to which a post is short."""
END_OF_TEXT, TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

ARCHITECTURE: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "vocab_size": 2048,
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "intermediate_size": 512,
    "num_attention_heads": 4,  # heads of 32, the smallest that vLLM's CPU attention serves
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 1024,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


@dataclass(frozen=True)
class Recipe:
    """The supervised training; the defaults made the embedded weights."""

    posts: int = 24_000
    """Size of the training split that is generated for this; its first 2,000 posts are those of
    a run, and no other split is touched. Seven passes over 2,000 posts instead gave a fact
    coverage of 0.39 on those and of 0.30 on others."""
    brief_updates: int = 1400
    """Updates on short posts and the briefest summaries: nothing but facts, which is what takes
    longest to learn (to find them in the post and say them again)."""
    wordy_updates: int = 900
    """Updates on posts of every length and summaries of every wordiness."""
    posts_per_update: int = 8
    brief_summaries: int = 4
    """Different summaries of one post in one update; the post is encoded once."""
    wordy_summaries: int = 2
    learning_rate: float = 3e-3
    """Peak, after a linear warm-up; then a cosine down to a twentieth."""
    warmup_updates: int = 60


def make(folder: Path, recipe: Recipe | None = None) -> None:
    """Write tokenizer, configuration and trained weights (bfloat16) into `folder`."""
    from tersely.policy.tokenizer import load_tokenizer

    recipe = recipe or Recipe()
    folder.mkdir(parents=True, exist_ok=True)
    examples = GeneratedConfig(train=recipe.posts).build().train
    write_tokenizer(folder, examples[: GeneratedConfig().train])
    tokenizer = load_tokenizer(folder)
    config = ARCHITECTURE | {
        "bos_token_id": None,
        "eos_token_id": tokenizer.end_of_turn,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    generation = {"eos_token_id": sorted(tokenizer.end_of_turn_ids)}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    model = _new_model()
    _train(model, tokenizer, examples, recipe)
    _save(model, folder)


def write_tokenizer(folder: Path, examples: Sequence[Example]) -> None:
    """Train a byte-level BPE on posts and wordy summaries; it can encode any text."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=ARCHITECTURE["vocab_size"],
        special_tokens=[END_OF_TEXT, TURN, END_OF_TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_texts(examples), trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=ARCHITECTURE["max_position_embeddings"],
    ).save_pretrained(folder)


def _texts(examples: Sequence[Example]) -> Iterator[str]:
    yield PlainPrompt().system
    for index, example in enumerate(examples):
        yield example.post
        # Summaries count several times: they are what has to be short in tokens.
        for variant in range(3):
            yield wordy_summary(example, random.Random(derive(SEED, "bpe", index, variant)))


def _new_model() -> "nn.Module":
    import mlx.core as mx
    from mlx_lm.models.qwen2 import Model, ModelArgs

    mx.random.seed(derive(SEED, "init") % 2**32)
    model = Model(ModelArgs.from_dict(ARCHITECTURE))
    mx.eval(model.parameters())
    return model


def _train(
    model: "nn.Module", tokenizer: "Tokenizer", examples: Sequence[Example], recipe: Recipe
) -> None:
    import mlx.core as mx
    import mlx.nn as nn
    from mlx import optimizers

    from tersely.policy.logprobs import Scorer

    updates = recipe.brief_updates + recipe.wordy_updates
    optimizer = optimizers.AdamW(
        learning_rate=optimizers.join_schedules(
            [
                optimizers.linear_schedule(0, recipe.learning_rate, recipe.warmup_updates),
                optimizers.cosine_decay(
                    recipe.learning_rate,
                    updates - recipe.warmup_updates,
                    recipe.learning_rate / 20,
                ),
            ],
            [recipe.warmup_updates],
        ),
        betas=[0.9, 0.98],
        weight_decay=0.01,
        bias_correction=True,
    )
    scorer = Scorer(model)
    loss_and_gradient = nn.value_and_grad(model, partial(_negative_log_likelihood, scorer))
    system = PlainPrompt().system
    began, recent = time.perf_counter(), 0.0
    for update, batch in enumerate(_batches(examples, recipe), start=1):
        prompts = [tokenizer.encode_prompt(system, example.post) for example, _ in batch]
        targets = [
            [(*tokenizer.encode_completion(text), tokenizer.end_of_turn) for text in texts]
            for _, texts in batch
        ]
        loss, gradient = loss_and_gradient(prompts, targets)
        gradient, _ = optimizers.clip_grad_norm(gradient, 1.0)
        optimizer.update(model, gradient)
        mx.eval(model.parameters(), optimizer.state)
        recent += loss.item()
        if update % 50 == 0:
            log.info(
                "update %d of %d, loss %.3f nats a token, %.0f s",
                update,
                updates,
                recent / 50,
                time.perf_counter() - began,
            )
            recent = 0.0


def _negative_log_likelihood(
    scorer: "Scorer",
    prompts: Sequence[Sequence[int]],
    targets: Sequence[Sequence[Sequence[int]]],
) -> "mx.array":
    scored = scorer.score_all(prompts, targets)
    return -scored.logprobs.sum() / scored.mask.sum()


def _batches(
    examples: Sequence[Example], recipe: Recipe
) -> Iterator[list[tuple[Example, list[str]]]]:
    """Per update, posts with their summaries: the brief part of the recipe, then the wordy."""
    short = [example for example in examples if len(example.post.split()) <= SHORT_POST]
    parts = (
        (short, recipe.brief_updates, recipe.brief_summaries, LEVELS[0]),
        (examples, recipe.wordy_updates, recipe.wordy_summaries, None),
    )
    rng = random.Random(derive(SEED, "warm-start"))
    for pool, updates, count, level in parts:
        order: list[Example] = []
        for _ in range(updates):
            if len(order) < recipe.posts_per_update:
                order = rng.sample(pool, len(pool))
            chosen = [order.pop() for _ in range(recipe.posts_per_update)]
            yield [
                (example, [wordy_summary(example, rng, level) for _ in range(count)])
                for example in chosen
            ]


def _save(model: "nn.Module", folder: Path) -> None:
    import mlx.core as mx
    from mlx.utils import tree_flatten

    weights = {name: array.astype(mx.bfloat16) for name, array in tree_flatten(model.parameters())}
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "pt"})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tersely.policy.warm_start FOLDER")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    load_fast_blas()
    keep_freed_memory()
    make(Path(sys.argv[1]))
