"""TRL on PyTorch: loss and backward pass of its `GRPOTrainer`, through its fused LM head.

Variants: `checkpointed` is its default, all completions at once and every layer checkpointed;
on a CPU its LM head then scores prompt positions too. `compact` stores what checkpointing drops
and scores only completions, which it does by itself on a GPU.
"""

import tempfile
from pathlib import Path
from typing import Any

from peers.measured import Order, read_order, report, timed

COMPUTES = {"end_of_turn": "trained", "normaliser": "sequence", "ratio": "1", "kl": "off"}
END = "<end>"


def main(order: Order) -> None:
    """Measure it."""
    import torch
    import trl.trainer.utils
    from safetensors.torch import save_file

    if order.variant == "compact":
        # Here this decides which positions are scored and nothing else.
        trl.trainer.utils._use_triton = lambda device: True
    trainer = grpo_trainer(order)
    model = trainer.model.train()
    if order.variant == "checkpointed":
        # Training would begin with this.
        model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    trainer.current_gradient_accumulation_steps = 1
    prompts = torch.tensor([order.prompt] * len(order.completions))
    completions = torch.tensor(order.completions)
    inputs = {
        "prompt_ids": prompts,
        "prompt_mask": torch.ones_like(prompts),
        "completion_ids": completions,
        "completion_mask": torch.ones_like(completions),
        "advantages": torch.tensor(order.advantages),
    }

    def update() -> float:
        model.zero_grad()
        loss = trainer.compute_loss(model, inputs)
        trainer.accelerator.backward(loss)
        return float(loss.item())

    # Weights that are mapped from their file come into memory when they are first read.
    for weight in model.parameters():
        weight.sum()
    loaded = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back, see proc(5)
    clock = timed(update, order.repeats)
    gradient = {name: weight.grad.contiguous() for name, weight in model.named_parameters()}
    working = memory("VmHWM") - loaded - sum(array.nbytes for array in gradient.values())
    save_file(gradient, order.gradient)
    report(clock, clock.last, working, COMPUTES, ["torch", "transformers", "trl"])


def grpo_trainer(order: Order) -> Any:
    """Its trainer around the checkpoint; data, tokenizer and reward are never asked."""
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    config = GRPOConfig(
        output_dir=tempfile.gettempdir(),
        per_device_train_batch_size=len(order.completions),
        num_generations=len(order.completions),
        max_completion_length=max(map(len, order.completions)),
        loss_type="grpo",
        beta=0.0,
        bf16=False,
        use_cpu=True,
        report_to="none",
        gradient_checkpointing=order.variant == "checkpointed",
    )
    return GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(order.checkpoint, dtype=torch.float32),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=Dataset.from_dict({"prompt": [END]}),
        processing_class=PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(WordLevel({END: 0}, unk_token=END)), eos_token=END
        ),
    )


def memory(field: str) -> int:
    """Bytes of this process: `VmRSS`, resident now, or `VmHWM`, the most of it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    main(read_order())
