"""The policy's tokenizer: a post into prompt ids, a summary into ids, ids into text.

A post is data. Whatever it says, control tokens (`<|im_end|>` and the like) in it are encoded
as ordinary text, so a post can end no turn and begin none.
"""

import os
import re
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from tersely.errors import ModelError

# Read when transformers is first imported: no advice about missing PyTorch, and no false alarm
# about a Mistral pattern for every large vocabulary. Errors still come through.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

_PLAIN_WORD = "posttext"
_NO_LIMIT = int(1e30)
_PRIVATE_USE = range(0xF0000, 0xFFFFE)

Messages = list[dict[str, str]]


class Tokenizer:
    """A Hugging Face tokenizer with a chat template, narrowed to what a policy needs."""

    def __init__(self, hf: Any, eos_ids: Iterable[int] = ()) -> None:
        """Wrap `hf`; `eos_ids` are further ids that end a turn, from the checkpoint's configs.

        Raises `ModelError` without a chat template or without any id that ends a turn.
        """
        if not hf.chat_template:
            raise ModelError(
                f"the tokenizer of {hf.name_or_path!r} has no chat template, so nothing says where "
                "a turn ends; add chat_template.jinja beside tokenizer.json, or take an "
                "instruction-tuned checkpoint"
            )
        self._hf = hf
        self._control = _control_tokens(hf)
        self._control_ids = frozenset(self._control.values())
        self._control_pattern = re.compile("|".join(map(re.escape, self._control)) or r"(?!)")
        self._skeletons: dict[bool, list[int]] = {}
        if _PLAIN_WORD not in self._render(_conversation("", _PLAIN_WORD)):
            raise ModelError(
                f"the chat template of {hf.name_or_path!r} leaves out what the user says, so no "
                "prompt would have its post; take the template that the checkpoint was trained with"
            )
        self.end_of_turn: int = self._find_end_of_turn()
        """Id that the chat template puts after an assistant's text."""
        own_eos = () if hf.eos_token_id is None else (hf.eos_token_id,)
        self.end_of_turn_ids = frozenset({self.end_of_turn, *own_eos, *eos_ids})
        """Every id at which sampling stops."""

    @property
    def vocab_size(self) -> int:
        """Ids that the tokenizer knows, added tokens included; a model may have spare rows."""
        return len(self._hf)

    def encode_prompt(self, system: str, post: str) -> tuple[int, ...]:
        """Ids of the chat template with a system turn, the post and an open assistant turn.

        Equal to `apply_chat_template`, unless a text contains control tokens, which then stay
        text. An empty `system` sends no system turn. Raises `ModelError` if the template
        refuses the conversation.
        """
        messages = _conversation(system, post)
        ids = self._encode(self._render(messages))
        if self._controls(ids) == self._skeleton(bool(system)):
            return tuple(ids)
        ids = self._encode_hostile(messages)
        if self._controls(ids) != self._skeleton(bool(system)):
            raise ModelError(
                f"the tokenizer of {self._hf.name_or_path!r} cannot keep the control tokens in a "
                f"post as text; take this post out of the data: {post[:80]!r}"
            )
        return tuple(ids)

    def encode_completion(self, text: str) -> tuple[int, ...]:
        """Ids of `text` as the assistant's words: no BOS, no end of turn, no control tokens."""
        return tuple(self._encode_text(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; special tokens and end-of-turn tokens are left out."""
        kept = [index for index in ids if index not in self.end_of_turn_ids]
        text: str = self._hf.decode(
            kept, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _render(self, messages: Messages, *, open_turn: bool = True) -> str:
        from jinja2 import TemplateError

        try:
            rendered: str = self._hf.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=open_turn
            )
        # A template that computes with what it is given can fail in any way that Python can.
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            roles = " then ".join(message["role"] for message in messages)
            raise ModelError(
                f"the chat template of {self._hf.name_or_path!r} refuses {roles}: {error}; if it "
                "has no system role, set prompt.system='' and put the instruction in the data"
            ) from error
        return rendered

    def _encode(self, text: str, *, split_special_tokens: bool = False) -> list[int]:
        ids: list[int] = self._hf.encode(
            text, add_special_tokens=False, split_special_tokens=split_special_tokens
        )
        return ids

    def _encode_text(self, text: str) -> list[int]:
        ids = self._encode(text, split_special_tokens=True)
        if not self._controls(ids):
            return ids
        # Control tokens that the checkpoint did not flag as special match even so: cut each one.
        cuts = [0, *(match.start() + 1 for match in self._control_pattern.finditer(text)), None]
        pieces = [text[start:end] for start, end in pairwise(cuts)]
        encoded = [self._encode(piece, split_special_tokens=True) for piece in pieces]
        return list(chain.from_iterable(encoded))

    def _encode_hostile(self, messages: Messages) -> list[int]:
        """Render with every control token in the texts masked by a private character, split at
        the control tokens that are left (the template's), and unmask in between."""
        texts = "".join(message["content"] for message in messages)
        found = sorted(set(self._control_pattern.findall(texts)))
        free = (chr(code) for code in _PRIVATE_USE if chr(code) not in texts)
        masks = dict(zip(found, free, strict=False))
        unmask = {ord(mask): token for token, mask in masks.items()}
        masked = [
            message
            | {"content": self._control_pattern.sub(lambda m: masks[m[0]], message["content"])}
            for message in messages
        ]
        ids: list[int] = []
        for piece in re.split(f"({self._control_pattern.pattern})", self._render(masked)):
            if piece in self._control:
                ids.append(self._control[piece])
            else:
                ids += self._encode_text(piece.translate(unmask))
        return ids

    def _controls(self, ids: Iterable[int]) -> list[int]:
        return [index for index in ids if index in self._control_ids]

    def _skeleton(self, with_system: bool) -> list[int]:
        """Control tokens that the template itself writes."""
        if with_system not in self._skeletons:
            messages = _conversation(_PLAIN_WORD if with_system else "", _PLAIN_WORD)
            self._skeletons[with_system] = self._controls(self._encode(self._render(messages)))
        return self._skeletons[with_system]

    def _find_end_of_turn(self) -> int:
        messages = [
            {"role": "user", "content": "user"},
            {"role": "assistant", "content": _PLAIN_WORD},
        ]
        _, found, tail = self._render(messages, open_turn=False).rpartition(_PLAIN_WORD)
        closing = self._controls(self._encode(tail)) if found else []
        if closing:
            return closing[0]
        if self._hf.eos_token_id is None:
            raise ModelError(
                f"the chat template of {self._hf.name_or_path!r} writes no token after an "
                "assistant's text and the tokenizer has no eos_token, so no completion could "
                "end; set eos_token in tokenizer_config.json"
            )
        eos: int = self._hf.eos_token_id
        return eos


def load_tokenizer(source: str | Path, eos_ids: Iterable[int] = ()) -> Tokenizer:
    """Load the tokenizer of a folder (nothing is fetched) or of a Hub name.

    Raises `ModelError` if it cannot be loaded, encodes nothing, or has no chat template.
    """
    from transformers import AutoTokenizer

    local = Path(source).is_dir()
    try:
        # Never code from a checkpoint; left open, transformers would ask at the keyboard.
        hf = AutoTokenizer.from_pretrained(
            str(source), local_files_only=local, trust_remote_code=False
        )
    except Exception as error:  # the Rust backend raises plain Exception for a broken file
        where = "tokenizer.json" if local else "a folder of this name, or the Hub"
        raise ModelError(
            f"no tokenizer could be loaded from {source}: {_one_line(error)}; check {where}"
        ) from error
    if not hf.encode("a", add_special_tokens=False):
        raise ModelError(
            f"the tokenizer in {source} encodes nothing; tokenizer.json is missing or empty there"
        )
    # transformers warns of longer posts; they are left out, and counted, by prompt.max_tokens.
    hf.model_max_length = _NO_LIMIT
    return Tokenizer(hf, eos_ids)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(" .:")


def _conversation(system: str, post: str) -> Messages:
    turns = [{"role": "system", "content": system}] if system else []
    return [*turns, {"role": "user", "content": post}]


def _control_tokens(hf: Any) -> dict[str, int]:
    """Added tokens that a post must not contain as ids, longest first: every special one, and
    each other one that the chat template names. Runs of blanks are ordinary text, and so is a
    token that stands for unknown characters only."""
    template = hf.get_chat_template()
    named = {hf.bos_token, hf.eos_token, hf.pad_token}
    control = {
        token.content: index
        for index, token in hf.added_tokens_decoder.items()
        if (token.special or token.content in template)
        and token.content.strip()
        and (token.content != hf.unk_token or token.content in named)
    }
    return dict(sorted(control.items(), key=lambda item: -len(item[0])))
