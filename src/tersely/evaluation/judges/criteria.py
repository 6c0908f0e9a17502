"""What a judge is asked for each metric: steps and what the ends of the scale mean.

The criteria are those of the study ("Length-Constrained Summarization with GRPO", 2026), in our
own words. The scale is 0 to 9 and not 0 to 10: for tokenizers that split numbers into digits
(Qwen's, Gemma's), 10 begins with the token of 1, and the probability of a 10 would be read as that
of a 1 when a score is weighed by its log-probabilities.
"""

from dataclasses import dataclass

from tersely.evaluation.judges.verdicts import METRICS

LOWEST, HIGHEST = 0, 9
"""Scores in a reply; a verdict's score is (reply - 0) / 9."""


@dataclass(frozen=True)
class Criterion:
    """How one metric is judged."""

    reads_post: bool
    """Whether the judge sees the post, or the summary alone."""
    steps: tuple[str, ...]
    worst: str
    """What a 0 means."""
    best: str
    """What a 9 means."""

    def bands(self) -> list[tuple[tuple[int, int], str]]:
        """Ranges of scores and what they mean. 5 is the first that passes at 0.5."""
        return [
            ((0, 0), f"{self.worst}."),
            ((1, 4), "Closer to the worst than to the best."),
            ((5, 8), "Closer to the best than to the worst."),
            ((9, 9), f"{self.best}."),
        ]


CRITERIA = {
    "faithfulness": Criterion(
        reads_post=True,
        steps=(
            "List each statement of fact that the summary makes.",
            "Look for each of them in the post: it has to be said there or follow from it "
            "directly.",
            "Lower the score for each statement that the post does not support, and more for "
            "each that it contradicts.",
        ),
        worst="Nothing that the summary says is in the post",
        best="The post supports everything that the summary says",
    ),
    "coverage": Criterion(
        reads_post=True,
        steps=(
            "Find the main points of the post: what it is about, what happened and what its "
            "author wants.",
            "Look for each of them in the summary.",
            "Lower the score for each missing point without which the post would be understood "
            "differently; small details may be left out.",
        ),
        worst="None of the main points is in the summary",
        best="All main points are in the summary",
    ),
    "conciseness": Criterion(
        reads_post=True,
        steps=(
            "Compare the length of the summary with that of the post: it should be much shorter.",
            "Look for repetition, filler and details that do not help to understand the post.",
            "Lower the score for words that could go without loss.",
        ),
        worst="As long or as repetitive as the post",
        best="As short as its content allows",
    ),
    "clarity": Criterion(
        reads_post=False,
        steps=(
            "Read the summary as someone who does not know the post.",
            "Check that its sentences are grammatical, complete and direct.",
            "Lower the score for jargon, for vague wording, and for pronouns that may mean more "
            "than one person or thing.",
        ),
        worst="It cannot be understood",
        best="It is understood at once, by itself",
    ),
}
assert tuple(CRITERIA) == METRICS
