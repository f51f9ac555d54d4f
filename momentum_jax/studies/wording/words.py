"""The words that a report explains, each with its definition and how it is found in a sentence."""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """A term, what it means, and the spellings under which it stands in sentences."""

    term: str
    meaning: str
    spellings: tuple[str, ...]


WORDS = {
    "arm": Word("Arm", "one of the optimizers that the study compares, trained once for every seed.", ("arms", "arm")),
    "seed": Word(
        "Seed",
        "the number that fixes the split, the first weights and the order of the batches. All arms run the same seeds, so "
        "they are compared seed by seed.",
        ("seeds", "seed"),
    ),
    "pp": Word("Percentage points (pp)", "from 97% to 98% is 1 pp.", ("percentage points", "percentage point", "pp")),
    "typical": Word(
        "Typical difference",
        "the median of the averages of all pairs of differences (Hodges and Lehmann). A few collapsed runs do not move it.",
        ("typical difference",),
    ),
    "interval": Word(
        "Interval",
        "the true differences that the test would not reject. An interval of 96% leaves the truth out in 4 of 100 studies.",
        ("interval",),
    ),
    "test": Word(
        "Exact signed-rank test",
        "ranks the differences by size and asks how often random signs would be as one-sided. It assumes no distribution.",
        ("exact signed-rank test",),
    ),
    "adjusted": Word(
        "Adjusted p",
        "the p-value for all questions of this report together. A claim is made where it is at most 0.05.",
        ("adjusted p",),
    ),
    "rule": Word(
        "The rule of this report",
        "5% is the chance that it claims anything at all where no arm differs. 4 of the 5 are for the question. The rest is "
        "asked with 1 until the question is answered, and with all 5 afterwards. What explains an effect is asked only "
        "where the effect is shown.",
        ("the rule of this report", "this rule"),
    ),
    "effective": Word(
        "Effective learning rate",
        "the learning rate divided by 1 - momentum. Along a steady slope momentum 0.9 moves 10 times as far as gradient "
        "descent at the same learning rate.",
        ("effective learning rate", "effective rate"),
    ),
    "larger": Word(
        "The larger step",
        "what gradient descent gains when its learning rate is raised to momentum's effective learning rate.",
        ("the larger step",),
    ),
    "itself": Word(
        "Momentum itself",
        "what momentum gains over gradient descent at the same effective learning rate. This part is not a larger step.",
        ("momentum itself",),
    ),
    "fresh": Word(
        "Fresh seeds",
        "seeds that the search never saw. All results are from fresh seeds where nothing else is said.",
        ("fresh seeds",),
    ),
    "luck": Word(
        "Luck of the choice",
        "the best of many trials is partly lucky. The score on fresh seeds shows how much.",
        ("luck of the choice",),
    ),
    "same": Word(
        "The same arm twice",
        "the first arm is run again with other seeds. Any difference is chance.",
        ("the same arm twice",),
    ),
    "trial": Word(
        "Trial", "one setting that the search tried, scored on the validation set with seeds of its own.", ("trials", "trial")
    ),
    "diverged": Word("Diverged", "the loss became infinite or not a number.", ("diverged",)),
    "hardly": Word(
        "Hardly learned",
        "in more than half of an arm's runs the last validation score is no better than before training.",
        ("hardly learned",),
    ),
    "target": Word("Target", "the validation score whose first attainment counts as there.", ("target",)),
    "found": Word(
        "Found in 4 of 5 studies",
        "power 80%, simulated for the rule of this report with the spread seen here.",
        ("4 of 5 studies",),
    ),
}
