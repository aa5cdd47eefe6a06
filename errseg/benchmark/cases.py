"""The cases to measure: one for each form, vocabulary, precision and batch size."""

import dataclasses
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from detectron2.config import CfgNode

from ..errors import UsageError
from ..modeling import system_of
from ..modeling.num_kept import AutoKept, as_plain, from_plain, most_kept
from .names import NameList

PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
KINDS = ("predict", "train", "set_vocabulary")
FORMS = {"plain": ("plain",), "fast": ("fast",), "both": ("plain", "fast")}
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        kind: "predict", "train" (one step) or "set_vocabulary" (encoding the names).
        form: "plain" or "fast".
        precision: "fp32", "bf16" or "fp16"; in training the last two mean autocast.
        vocabulary: the names and K.
        batch: the batch size.
        compile_mode: the mode of ``torch.compile``; empty: not compiled.
        encode_names: a prediction encodes the names too, each time; False: its text embeddings are precomputed.
        picture: side of a drawn picture, which is then resized as the loader of the configuration does; 0: the picture
            has the side of the test resolution, and is not resized.
    """

    kind: str
    form: str
    precision: str
    vocabulary: NameList
    batch: int = 1
    compile_mode: str = ""
    encode_names: bool = False
    picture: int = 0

    def __str__(self) -> str:
        how = ", compiled" if self.compile_mode else ", encoding the names" if self.encode_names else ""
        return f"{self.form} {self.precision}{how}, {self.vocabulary.label}, batch {self.batch}"

    def as_data(self) -> dict:
        """The case as data for ``json``; ``from_data`` reads it."""
        label, names, num_classes = self.vocabulary
        return dataclasses.asdict(self) | {"vocabulary": [label, names, as_plain(num_classes)]}

    @classmethod
    def from_data(cls, data: dict) -> "Case":
        label, names, num_classes = data["vocabulary"]
        return cls(**data | {"vocabulary": NameList(label, tuple(names), from_plain(num_classes))})


def make_cases(
    kind: str,
    form: str,
    precisions: Sequence[str],
    vocabularies: Iterable[NameList],
    batches: Sequence[int],
    compile_mode: str = "",
    device: str = "cpu",
    encode_names: bool = False,
) -> list[Case]:
    """All combinations that make sense; the baseline of each vocabulary and batch size comes first.

    The plain form in float32 is the baseline. In predictions it runs in float32 only; in training, both forms run in
    every precision. Each compiled case is also measured without compilation. With ``encode_names``, the plain form is
    also measured with the names encoded again in every run.

    Raises:
        UsageError: an option has an invalid value, or two options contradict each other.
    """
    check_options(kind, form, precisions, batches, compile_mode, device)
    if encode_names and (kind != "predict" or form == "fast"):
        raise UsageError(
            "--encode-names is for predictions of the plain form; remove it, or --form fast, --train and "
            "--set-vocabulary."
        )
    vocabularies = list(vocabularies)
    if compile_mode and any(isinstance(each.num_classes, AutoKept) for each in vocabularies):
        raise UsageError("--compile needs one K for all images; give --num-classes K, or remove --compile.")
    cases = []
    for batch in batches:
        for vocabulary in vocabularies:
            for each in FORMS[form]:
                for precision in ("fp32",) if each == "plain" and kind != "train" else precisions:
                    for mode in ("", compile_mode) if compile_mode and each == "fast" else ("",):
                        cases.append(Case(kind, each, precision, vocabulary, batch, mode))
            if encode_names:
                cases.append(Case(kind, "plain", "fp32", vocabulary, batch, encode_names=True))
    return cases


def check_options(
    kind: str, form: str, precisions: Sequence[str], batches: Sequence[int], compile_mode: str, device: str
) -> None:
    """Raise UsageError where ``make_cases`` cannot use the options."""
    for precision in precisions:
        if precision not in PRECISIONS:
            raise UsageError(f"--precision has {precision!r}; give {', '.join(PRECISIONS)}, with commas between.")
    if form not in FORMS:
        raise UsageError(f"--form is {form!r}; give {', '.join(FORMS)}.")
    if min(batches) < 1:
        raise UsageError(f"--batch has {min(batches)}; give 1 or more.")
    if form == "plain" and kind != "train" and "fp32" not in precisions:
        raise UsageError("--form plain needs --precision fp32; give that, or --form both.")
    if kind == "set_vocabulary" and set(precisions) != {"fp32"}:
        raise UsageError("--set-vocabulary needs --precision fp32: the text tower stays in float32.")
    if kind == "train" and "fp16" in precisions and not device.startswith("cuda"):
        raise UsageError("--train --precision fp16 needs loss scaling, which needs --device cuda; give fp32 or bf16.")
    if compile_mode and (kind != "predict" or form == "plain"):
        raise UsageError("--compile is for predictions of the fast form; remove it, or --train and --set-vocabulary.")
    if compile_mode and compile_mode not in COMPILE_MODES:
        raise UsageError(f"--compile is {compile_mode!r}; give {', '.join(COMPILE_MODES)}.")


def check_plain_fits(case: Case, size: tuple[int, int], memory: int | None = None) -> None:
    """Raise UsageError where the dense scores of the plain form do not fit into the machine's memory.

    Args:
        case: a case of the plain form on the CPU.
        size: (H, W) of the picture.
        memory: the machine's memory in bytes; None: that of this machine.
    """
    memory = memory or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    needed = 4 * case.batch * len(case.vocabulary.names) * size[0] * size[1]
    if needed > 0.6 * memory:
        raise UsageError(
            f"The plain form's scores of {len(case.vocabulary.names)} names ({case.vocabulary.label}) take "
            f"{needed / 1e9:.0f} GB of this machine's {memory / 1e9:.0f}; measure that vocabulary with --form fast."
        )


def check_system(cases: Iterable[Case], cfg: CfgNode) -> None:
    """Raise UsageError where the system of a configuration cannot be measured, or has no plain form."""
    system = system_of(cfg)
    system.require("benchmark")
    if system.plain_form is None and any(case.form == "plain" for case in cases):
        raise UsageError(f"{system.name} has no plain form; give --form fast.")


def kept_classes(cfg: CfgNode, vocabulary: NameList) -> int:
    """The number of names that a model keeps: K, or all names where its system drops none; of "auto", at most."""
    total = len(vocabulary.names)
    if system_of(cfg).num_kept(cfg, total, total) == 0:
        return total
    return most_kept(vocabulary.num_classes, total)
