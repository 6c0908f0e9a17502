"""Claim: the rewards are the libraries' numbers, ROUGE-L and METEOR several times as fast.

    python benchmarks/rewards.py

Prints JSON: for each metric the scores per second of our route and of the stock library on the
same pairs, their ratio, and the largest difference between their numbers. Both routes score all
pairs once before the clock starts, so WordNet's entries for their words are in memory, as after
the first steps of a run. The pairs are groups as in training, eight summaries a reference, from
`../shared/data/reddit_tifu` where it is, else random words. ROUGE-L is compared with `rouge_score`,
METEOR with NLTK (its tokenizer included), BLEU with sacrebleu's tokens and counts, put into the
formula of HF `evaluate`, whose own module is not in its package; sacrebleu remembers the tokens of
every text, so its second pass does without most of the work.
"""

import json
import math
import random
import time
from collections.abc import Callable
from pathlib import Path

from tersely.rewards.bleu import sentence_bleu
from tersely.rewards.matching import Matching
from tersely.rewards.meteor import meteor_scorer
from tersely.rewards.rouge import rouge_l
from tersely.rewards.wordnet import open_wordnet

Pairs = list[tuple[str, str]]
Metric = Callable[[str, str], float]

POSTS = Path(__file__).parents[2] / "shared" / "data" / "reddit_tifu" / "test.jsonl"
GROUP_SIZE = 8
SUMMARY_WORDS = 50


def load_pairs() -> Pairs:
    """60 groups: the reference of each post with eight windows of the post as its summaries."""
    if POSTS.is_file():
        rows = map(json.loads, POSTS.read_text(encoding="utf-8").splitlines())
        texts = [(row["prompt"].split(), row["completion"]) for row in rows]
    else:
        draw = random.Random(0)
        words = ["work", "water", "keep", "friend", "laugh", "night", "door", "catch", "walk"]
        texts = [(draw.choices(words, k=200), " ".join(draw.choices(words, k=25)))] * 60
    draw = random.Random(0)
    pairs = []
    for words, reference in texts:
        for _ in range(GROUP_SIZE):
            start = draw.randrange(max(1, len(words) - SUMMARY_WORDS))
            pairs.append((" ".join(words[start : start + SUMMARY_WORDS]), reference))
    return pairs


def stock_rouge() -> Metric:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return lambda summary, reference: scorer.score(reference, summary)["rougeL"].fmeasure


def stock_meteor() -> Metric:
    from nltk.tokenize import word_tokenize
    from nltk.translate.meteor_score import meteor_score

    open_wordnet()  # puts the copy of Debian's files on NLTK's data path

    def score(summary: str, reference: str) -> float:
        ours, theirs = (word_tokenize(text, preserve_line=True) for text in (summary, reference))
        return float(meteor_score([theirs], ours))

    return score


def stock_bleu() -> Metric:
    from sacrebleu.metrics import BLEU

    counter = BLEU(tokenize="13a", effective_order=True, force=True)

    def score(summary: str, reference: str) -> float:
        found = counter.sentence_score(summary, [reference])
        precisions = [(m + 1) / (p + 1) for m, p in zip(found.counts, found.totals, strict=True)]
        return float(found.bp * math.prod(precisions) ** 0.25)

    return score


def measure(metric: Metric, pairs: Pairs) -> tuple[list[float], float]:
    """The scores, and how many a second in the second pass over the pairs."""
    scores = [metric(summary, reference) for summary, reference in pairs]
    start = time.perf_counter()
    for summary, reference in pairs:
        metric(summary, reference)
    return scores, len(pairs) / (time.perf_counter() - start)


def main() -> None:
    pairs = load_pairs()
    routes: dict[str, tuple[Metric, Metric]] = {
        "rouge_l": (rouge_l, stock_rouge()),
        "meteor": (meteor_scorer(Matching.wordnet), stock_meteor()),
        "bleu": (lambda ours, theirs: sentence_bleu(ours, theirs, smooth=True), stock_bleu()),
    }
    report: dict[str, object] = {"pairs": len(pairs), "real_posts": POSTS.is_file()}
    for name, (fast, stock) in routes.items():
        expected, stock_speed = measure(stock, pairs)
        actual, speed = measure(fast, pairs)
        differences = (abs(a - b) for a, b in zip(expected, actual, strict=True))
        report[name] = {
            "scores_per_second": round(speed),
            "stock_scores_per_second": round(stock_speed),
            "times_as_fast": round(speed / stock_speed, 1),
            "largest_difference": max(differences),
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
