"""Which keys decide what a trained model predicts."""

import pytest
import torch
from detectron2.config import CfgNode
from PIL import Image

import errseg
from errseg.config.keys import training_keys
from errseg.config.settings import changed_settings, decides_predictions, decides_scores, flatten, settings_of
from errseg.config.training_only import COMPARED_APART, SCORED_WITH, TRAINING_ONLY
from errseg.data import SemSegMapper
from tests.conftest import NAMES

CHANGED = {  # another value of every key that is training's own
    "MODEL.GRADIENT_CHECKPOINTING": True,
    "MODEL.SEM_SEG_HEAD.IGNORE_VALUE": 7,
    "MODEL.CLIP.DROP": 0.5,
    "MODEL.CLIP.DROP_PATH": 0.5,
    "MODEL.CLIP.FINETUNE_IMAGE": False,
    "MODEL.CLIP.FINETUNE_TEXT": False,
    "MODEL.HSM.STAGE4_GRADIENT": "E16",
    "MODEL.CRM.NUM_CLASSES_TRAIN": 2,
    "MODEL.ESCF.DROP_PATH": 0.4,
    "MODEL.GUD.STOP_GRADIENT": False,
    "MODEL.PROPOSALS.DROPOUT": 0.2,
    "MODEL.PROPOSALS.WEIGHTS": "stage2.pth",
    "MODEL.PROPOSALS.BACKBONE_WEIGHTS": "resnet.pkl",
    "MODEL.PROPOSALS.FOCAL_WEIGHT": 5.0,
    "MODEL.PROPOSALS.DICE_WEIGHT": 2.0,
    "MODEL.PROPOSALS.NO_OBJECT_WEIGHT": 0.2,
    "MODEL.PROMPT.WEIGHTS": "stage1.pth",
    "MODEL.PROMPT.TRAINED": False,
    "MODEL.CLIP.FINETUNE": "none",
    "MODEL.REJECTION.HEADS_ONLY": True,
    "MODEL.FUSION.POOLING": 1,
    "MODEL.FUSION.DETACH": False,
    "MODEL.FUSION.DECAY_NORMS": False,
    "MODEL.LOSS.FOCAL": 1.0,
    "MODEL.LOSS.DICE": 1.0,
    "MODEL.LOSS.SLOPE": 2.0,
    "MODEL.TOWER.TRAINED_IMAGE": "none",
    "MODEL.TOWER.TRAINED_TEXT": "full",
    "MODEL.AGGREGATION.POOLING": [1, 1],
    "INPUT.RESOLUTION_TRAIN": 96,
    "INPUT.MIN_SIZE_TRAIN": (33,),
    "INPUT.MAX_SIZE_TRAIN": 34,
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": "range",
    "INPUT.RANDOM_FLIP": "vertical",
    "INPUT.COLOR_AUG_SSD": False,
    "INPUT.SIZE_DIVISIBILITY": 32,
    "INPUT.CROP.ENABLED": True,
    "INPUT.CROP.TYPE": "absolute",
    "INPUT.CROP.SIZE": [16, 16],
    "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA": 0.5,
    "TEST.EVAL_PERIOD": 5,
}


def test_keys_of_training_change_no_prediction(tiny_cfg, build, tmp_path):
    """From the file of an image to its scores, with all of these keys changed at once."""
    image = torch.randint(0, 256, (40, 60, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    Image.fromarray(image.numpy()).save(tmp_path / "a.png")

    def predicted(cfg, state=None):
        model = errseg.build_model(cfg).eval()
        model.load_state_dict(state or model.state_dict())
        model.set_vocabulary(NAMES, num_classes=3)
        with torch.no_grad():
            (result,) = model([SemSegMapper(cfg, is_train=False)({"file_name": str(tmp_path / "a.png")})])
        return result["sem_seg"], model.state_dict()

    expected, state = predicted(tiny_cfg)
    before = flatten(tiny_cfg)
    assert CHANGED.keys() == TRAINING_ONLY | training_keys() and all(
        before[key] != value for key, value in CHANGED.items()
    )
    tiny_cfg.merge_from_list([word for pair in CHANGED.items() for word in pair])
    assert torch.equal(predicted(tiny_cfg, state)[0], expected)
    assert settings_of(tiny_cfg) == {key: value for key, value in before.items() if decides_predictions(key)}


def test_every_key_of_the_tables_is_declared():
    declared = flatten(errseg.get_cfg())
    of_training = TRAINING_ONLY | training_keys()
    assert of_training | COMPARED_APART | SCORED_WITH <= declared.keys()
    assert not of_training & COMPARED_APART and not SCORED_WITH & (of_training | COMPARED_APART)


def test_what_turns_predictions_into_scores_decides_these_alone():
    assert decides_scores("TEST.MEAN_OVER") and not decides_predictions("TEST.MEAN_OVER")
    assert decides_scores("TEST.FLIP") and not decides_scores("TEST.IMS_PER_BATCH") and not decides_scores("SEED")


@pytest.mark.parametrize(
    ("key", "decides"),
    [("MODEL.TOY.WIDTH", True), ("MODEL.CLIP.DROP_PATH", False), ("MODEL.CLIP.DROP_PATH.TOY", True)]
    + [("INPUT.TOY", True), ("TEST.TOY", True), ("TOY.TEST", False), ("SOLVER.BASE_LR", False)]
    + [("MODEL.DEVICE", False), ("MODEL.RPN.NMS_THRESH", True)],
)
def test_a_key_that_nobody_declared_as_trainings_own_decides(key, decides):
    assert decides_predictions(key) is decides


def test_settings_are_as_json_has_them():
    cfg = CfgNode({"MODEL": {"TOY": {"SIZES": ((1, 2), [3])}, "NONE": None}, "SEED": 1})
    assert settings_of(cfg) == {"MODEL.TOY.SIZES": [[1, 2], [3]], "MODEL.NONE": None}


def test_a_key_that_one_side_lacks_counts_with_its_default():
    assert changed_settings({"TEST.FLIP": True}, {"TEST.FLIP": True, "TEST.KEEP_ASPECT": False}) == {}
    assert changed_settings({"TEST.FLIP": True}, {"TEST.KEEP_ASPECT": True, "MODEL.TOY.WIDTH": 8}) == {
        "MODEL.TOY.WIDTH": (None, 8),
        "TEST.FLIP": (True, False),
        "TEST.KEEP_ASPECT": (False, True),
    }
