"""What our stand-in for Detectron2 has not says so in a sentence. (The real one has it.)"""

import importlib

import detectron2
import pytest

pytestmark = pytest.mark.skipif("compat" not in detectron2.__version__, reason="the real Detectron2 has all of it")


@pytest.mark.parametrize(
    "statement",
    [
        "from detectron2.structures import Instances",
        "import detectron2.layers.nms",
        "from detectron2.layers import Conv2d",
        "from detectron2.engine import DefaultPredictor",
        "from detectron2.engine.hooks import PreciseBN",
        "from detectron2.utils.colormap import random_color",
        "from detectron2.utils.visualizer import Visualizer",
        "from detectron2.utils.events import default_writers",
        "from detectron2 import model_zoo",
        "import detectron2.engine; detectron2.engine.AMPTrainer",
        "import detectron2.engine; detectron2.engine.DefaultTrainer(None)",
    ],
)
def test_a_name_that_is_not_here_says_to_install_the_real_one(statement):
    with pytest.raises((ImportError, AttributeError), match="detectron2.*stand-in.*install Detectron2"):
        exec(statement)


@pytest.mark.parametrize(
    ("statement", "instead"),
    [
        ("from detectron2.engine import SimpleTrainer", "errseg.engine.StepTrainer"),
        ("from detectron2.engine import DefaultTrainer; DefaultTrainer.test(None, None)", "errseg.engine.Trainer"),
        ("from detectron2.evaluation import SemSegEvaluator", "errseg.evaluation.VocabularyEvaluator"),
        ("from detectron2.evaluation.sem_seg_evaluation import SemSegEvaluator", "errseg.evaluation.Vocabulary"),
        ("from detectron2.utils.events import JSONWriter", "errseg.engine.Trainer, which writes metrics.json"),
    ],
)
def test_what_errseg_has_in_its_place_is_named(statement, instead):
    with pytest.raises((ImportError, AttributeError), match=f"stand-in.*use {instead}.*install Detectron2"):
        exec(statement)


@pytest.mark.parametrize("name", ["", ".engine", ".engine.hooks", ".data", ".utils.events", ".layers", ".solver"])
def test_looking_for_a_name_is_no_error(name):
    module = importlib.import_module("detectron2" + name)
    assert not hasattr(module, "no_such_name") and getattr(module, "no_such_name", 1) == 1
