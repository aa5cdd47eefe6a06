"""The names of the mini world: compositions such as "red striped triangle", and grounds. Some are held out.

The fold of a composition is the sum of the indices of its colour, pattern and shape, modulo the number of patterns. The
four folds have equal sizes, and colours, patterns and shapes are spread evenly over them. Fold 0 is held out of all
training, including CLIP's pretraining. Every pair of attributes still occurs among the seen names, so that a held-out
name combines known attributes.

The evaluation sets "seen" and "unseen" differ only in the fold that they show: "seen" shows fold 2, "unseen" fold 0. A
scene shows a few of 30 compositions. The vocabulary also has 60 seen names that no scene shows, and the grounds.
"""

import random
from itertools import product

__all__ = [
    "COLOURS",
    "DISTRACTORS",
    "GROUNDS",
    "HELD_OUT",
    "NEGATIVES",
    "PATTERNS",
    "SEEN",
    "SHAPES",
    "SPLITS",
    "VOCABULARIES",
    "drawn_names",
    "fold",
    "parts",
]

COLOURS = ("red", "yellow", "green", "blue", "purple", "white")
PATTERNS = ("plain", "striped", "dotted", "checkered")
SHAPES = ("square", "triangle", "ring", "cross", "bar")
GROUNDS = ("grass", "sand", "water", "brick wall", "wooden floor", "gravel")

# Words of the distractor names: no scene shows them.
OTHER_COLOURS = ("orange", "teal", "brown", "black", "golden", "pink")
OTHER_PATTERNS = ("marbled", "zigzag", "woven", "speckled")
OTHER_SHAPES = ("arrow", "crescent", "heart", "hexagon", "spiral", "oval")
LARGE_VOCABULARY_SIZE = 800


def fold(name: str) -> int:
    """The fold of a composition, 0 to 3."""
    colour, pattern, shape = parts(name)
    return (COLOURS.index(colour) + PATTERNS.index(pattern) + SHAPES.index(shape)) % len(PATTERNS)


def parts(name: str) -> tuple[str, ...]:
    """The words of a composition: (colour, pattern, shape); for a ground, its whole name."""
    return (name,) if name in GROUNDS else tuple(name.split())


def _compositions() -> list[str]:
    return [" ".join(words) for words in product(COLOURS, PATTERNS, SHAPES)]


def _distractors() -> list[str]:
    """Names with at least one word that no scene shows."""
    drawn = set(_compositions())
    words = (COLOURS + OTHER_COLOURS, PATTERNS + OTHER_PATTERNS, SHAPES + OTHER_SHAPES)
    return [name for name in map(" ".join, product(*words)) if name not in drawn]


def _large_vocabulary() -> tuple[str, ...]:
    """Every drawn name and some distractors, shuffled, so that the index of a name gives no hint about it."""
    names = [*_compositions(), *GROUNDS]
    names += random.Random(0).sample(DISTRACTORS, LARGE_VOCABULARY_SIZE - len(names))
    random.Random(1).shuffle(names)
    return tuple(names)


HELD_OUT = tuple(name for name in _compositions() if fold(name) == 0)
SEEN = tuple(name for name in _compositions() if fold(name) != 0)
DISTRACTORS = tuple(_distractors())
_COMPANIONS = tuple(random.Random(2).sample(SEEN, len(SEEN) - len(HELD_OUT)))

VOCABULARIES = {
    "train": SEEN + GROUNDS,
    "seen": SEEN + GROUNDS,
    "unseen": HELD_OUT + _COMPANIONS + GROUNDS,
    "large": _large_vocabulary(),
}
SPLITS = tuple(VOCABULARIES)

# Distractors for pretraining; none of them is in an evaluated vocabulary.
NEGATIVES = tuple(name for name in DISTRACTORS if name not in set(VOCABULARIES["large"]))


def drawn_names(split: str) -> tuple[str, ...]:
    """The compositions that the scenes of a split show."""
    if split == "seen":
        return tuple(name for name in SEEN if fold(name) == 2)
    return {"train": SEEN, "unseen": HELD_OUT, "large": SEEN + HELD_OUT}[split]
