"""Two quality terms in one reward; the fields and terms are those of the parents."""

from dataclasses import dataclass

from tersely.rewards.bleu import BleuConfig
from tersely.rewards.meteor import MeteorConfig
from tersely.rewards.rouge import RougeConfig


@dataclass
class MeteorRougeConfig(MeteorConfig, RougeConfig):
    """`reward=meteor_rouge`: METEOR plus ROUGE-L."""


@dataclass
class MeteorBleuConfig(MeteorConfig, BleuConfig):
    """`reward=meteor_bleu`: METEOR plus BLEU."""


@dataclass
class BleuRougeConfig(BleuConfig, RougeConfig):
    """`reward=bleu_rouge`: BLEU plus ROUGE-L."""
