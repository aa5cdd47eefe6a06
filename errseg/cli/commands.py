"""The table of commands."""

from typing import NamedTuple

__all__ = ["COMMANDS", "GROUPS", "Command"]


class Command(NamedTuple):
    """A row of the table."""

    name: str  # one word, or two: "data prepare"
    summary: str  # its line in ``errseg --help``
    module: str  # the name of its module in errseg.cli


COMMANDS = (
    Command("predict", "segment pictures and videos with names of your own", "predict"),
    Command("web", "serve a web page that segments pictures", "web"),
    Command("export", "write a model as ONNX or torch.export", "export"),
    Command("inspect", "draw what happens inside a model", "inspect"),
    Command("train", "train a model", "train"),
    Command("evaluate", "score weights on data sets", "evaluate"),
    Command("tune-k", "find the threshold of a K that fits the image", "tune_k"),
    Command("data prepare", "convert a data set from its published files", "data_prepare"),
    Command("data check", "check the files and labels of data sets", "data_check"),
    Command("data import", "import data sets of COCO, LabelMe, CVAT and others", "data_import"),
    Command("data merge-label-studio", "make labels from Label Studio's masks", "data_merge"),
    Command("compare", "compare two evaluations", "compare"),
    Command("render", "draw saved predictions over their images", "render"),
    Command("paper", "make a table or a figure of the papers", "paper"),
    Command("benchmark", "measure time, memory and multiply-adds", "benchmark"),
    Command("parity", "compare with recorded numbers of the released model", "parity"),
    Command("convert", "convert a checkpoint: released names, safetensors", "convert"),
    Command("save", "write a model into a folder with a card, or send it to the hub", "save"),
    Command("doctor", "report the installation and what it lacks", "doctor"),
    Command("fuzz", "give errseg wrong inputs and judge the answers", "fuzz"),
    Command("mini run", "train a system on the mini world, from the scenes to the report", "mini_run"),
    Command("mini draw", "draw the scenes of the mini world", "mini_draw"),
    Command("mini pretrain", "pretrain the mini world's CLIP", "mini_pretrain"),
    Command("mini report", "write the results of the quickstart", "mini_report"),
    Command("mini ablate", "run a table of the paper on the mini world", "mini_ablate"),
)

# What the commands of two words are about, by their first word
GROUPS = {"data": "data sets", "mini": "the mini world"}
