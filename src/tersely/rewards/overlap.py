"""The overlap metrics that every run reports, whichever of them it rewards."""

from collections.abc import Mapping
from functools import partial

from tersely.rewards.bleu import sentence_bleu
from tersely.rewards.meteor import meteor_scorer
from tersely.rewards.quality import Metric, RewardConfig
from tersely.rewards.rouge import rouge_l

OVERLAP = {"rouge_l": "ROUGE-L", "meteor": "METEOR", "bleu": "BLEU"}
"""Their names, and what logs, tables and reports call them."""


def overlap_metrics(config: RewardConfig) -> Mapping[str, Metric]:
    """ROUGE-L, METEOR and BLEU as `config` has them computed.

    Raises `CorpusMissing` where METEOR's WordNet is not on this machine.
    """
    return {
        "rouge_l": rouge_l,
        "meteor": meteor_scorer(config.meteor_matching),
        "bleu": partial(sentence_bleu, smooth=config.bleu_smooth),
    }
