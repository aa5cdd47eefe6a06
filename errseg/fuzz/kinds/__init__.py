"""The generators, by the kind of input that they make.

Each takes a seeded ``random.Random``, the :class:`errseg.fuzz.bench.Bench` and a folder, writes the input there, and
returns the :class:`errseg.fuzz.case.Case`.
"""

from .commands import command
from .configs import clip_json, configuration, overrides
from .datasets import dataset_file, index, label, names_file, vocabulary
from .pictures import picture
from .records import batch_ledger, evaluation_record, fixture
from .weights import resume, weight_file

__all__ = ["KINDS"]

KINDS = {
    "configuration": configuration,
    "overrides": overrides,
    "CLIP JSON": clip_json,
    "data-set file": dataset_file,
    "label": label,
    "names file": names_file,
    "vocabulary": vocabulary,
    "index": index,
    "picture": picture,
    "weights": weight_file,
    "resume": resume,
    "predict.json": batch_ledger,
    "evaluation.json": evaluation_record,
    "fixture": fixture,
    "command": command,
}
