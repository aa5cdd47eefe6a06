"""The whole model, tiny and random: what a user of it relies on."""

import copy
import itertools
from pathlib import Path

import pytest
import torch
from fvcore.nn import FlopCountAnalysis

from errseg.errors import UsageError
from tests.conftest import NAMES

DATA = Path(__file__).parents[2] / "data"
ABLATIONS = [
    (),
    ("MODEL.HSM.ENABLED", False),
    ("MODEL.HSM.STAGE4_GRADIENT", "E16"),
    ("MODEL.HSM.STAGE4_GRADIENT", "E32"),
    ("MODEL.CRM.ENABLED", False),
    ("MODEL.ESCF.ENABLED", False),
    ("MODEL.ESCF.SFM", False),
    ("MODEL.ESCF.CFM", False),
    ("MODEL.ESCF.STAR", False),
    ("MODEL.ESCF.SSR_RATIO", 1, "MODEL.ESCF.CSR_RATIO", 1),
    ("MODEL.GUD.ENABLED", False),
    ("MODEL.GUD.GUIDANCE_OS16", False),
    ("MODEL.GUD.STOP_GRADIENT", False),
    ("MODEL.GUD.KERNEL_SIZE", 5),
    ("MODEL.CLIP.FINETUNE_IMAGE", False, "MODEL.CLIP.FINETUNE_TEXT", False),
    ("MODEL.BACKBONE.NAME", "ViTCLIP", "MODEL.HSM.ENABLED", False, "MODEL.CLIP.NAME", str(DATA / "tiny_vit.json")),
]


@pytest.mark.parametrize("changes", ABLATIONS, ids=lambda changes: "-".join(map(str, changes))[:60] or "paper")
def test_every_trainable_parameter_has_a_gradient_and_predictions_have_their_shape(changes, build, make_batch):
    model = build(*changes).train()
    model(make_batch(3))["loss_sem_seg"].backward()
    without = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert not without
    with torch.no_grad():
        results = model.eval()(make_batch(2))
    assert [r["sem_seg"].shape for r in results] == [(len(NAMES), 64, 64)] * 2
    assert all(r["sem_seg"].isfinite().all() for r in results)


def test_gradients_are_not_all_zero(build, make_batch):
    model = build().train()
    model(make_batch(2))["loss_sem_seg"].backward()
    zero = {name for name, p in model.named_parameters() if p.requires_grad and not p.grad.any()}
    assert not zero


def test_a_batch_gives_what_its_images_give_alone(build, make_batch):
    model, batch = build().eval(), make_batch(3)
    batch[1]["image"] = batch[1]["image"][:, :50, :40]  # sizes may differ
    batch[1] |= {"height": 30, "width": 70}
    with torch.no_grad():
        together = model(batch)
        for one, inputs in zip(together, batch, strict=True):
            torch.testing.assert_close(one["sem_seg"], model([inputs])[0]["sem_seg"], atol=1e-5, rtol=1e-4)
    assert together[1]["sem_seg"].shape == (len(NAMES), 30, 70)


def test_loss_of_a_batch_is_the_mean_of_its_images(build, make_batch):
    model, batch = build("MODEL.ESCF.DROP_PATH", 0.0).train(), make_batch(3)
    with torch.no_grad():
        together = model(batch)["loss_sem_seg"]
        alone = torch.stack([model([inputs])["loss_sem_seg"] for inputs in batch])
    torch.testing.assert_close(together, alone.mean())


def test_forward_mutates_neither_inputs_nor_the_model(build, make_batch):
    model, batch = build(), make_batch(2)
    for mode in (True, False):
        model.train(mode)
        inputs, state = copy.deepcopy(batch), copy.deepcopy(model.state_dict())
        attributes = {key: value for key, value in vars(model).items() if not key.startswith("_")}
        with torch.no_grad():
            model(batch)
        for before, after in zip(inputs, batch, strict=True):
            assert before.keys() == after.keys()
            assert torch.equal(before["image"], after["image"]) and torch.equal(before["sem_seg"], after["sem_seg"])
        assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
        assert attributes == {key: value for key, value in vars(model).items() if not key.startswith("_")}


def test_dropped_classes_score_nothing_and_kept_ones_do(build, make_batch):
    model = build().eval()
    model.set_vocabulary(NAMES, num_classes=3)
    with torch.no_grad():
        scores = model(make_batch(1))[0]["sem_seg"]
    assert (scores.amax((1, 2)) > 1e-30).sum() == 3


def test_classes_of_the_ground_truth_stay_even_beyond_k(build, make_batch):
    model = build("MODEL.CRM.NUM_CLASSES_TRAIN", 1).train()
    with torch.no_grad():
        assert model(make_batch(2))["loss_sem_seg"] < 10  # a dropped class's pixels would cost 100 each


def test_built_ready_to_predict(tiny_cfg):
    import errseg

    assert not errseg.build_model(tiny_cfg).training


def test_training_without_labels_names_the_image(build):
    image = {"image": torch.zeros(3, 64, 64), "file_name": "a.jpg"}
    with pytest.raises(UsageError, match="a.jpg has no 'sem_seg'"):
        build().train()([image])


# ---- vocabulary ----


def test_no_vocabulary_is_an_error(tiny_cfg, make_batch):
    import errseg

    with pytest.raises(RuntimeError, match="set_vocabulary"):
        errseg.build_model(tiny_cfg).eval()(make_batch(1))


def test_vocabulary_of_one_name(build, make_batch):
    model = build()
    model.set_vocabulary(["thing"])
    batch = make_batch(1)
    batch[0]["sem_seg"] = torch.zeros(64, 64, dtype=torch.long)
    assert model.train()(batch)["loss_sem_seg"].isfinite()
    assert model.eval()(batch)[0]["sem_seg"].shape == (1, 64, 64)


def test_text_embeddings_go_stale_with_training_and_loading(build, make_batch):
    model = build().eval()
    before = model.text_embeddings.clone()
    model.train()
    assert model.text_embeddings is None  # the text tower is trained
    for p in model.backbone.clip.transformer.parameters():
        p.data += 0.1
    after = model.eval().text_embeddings
    assert not torch.allclose(before, after)
    state = {key: value * 0.5 for key, value in model.state_dict().items()}
    model.load_state_dict(state)
    assert not torch.allclose(after, model.text_embeddings)


def test_frozen_text_is_encoded_once(build, make_batch):
    model = build("MODEL.CLIP.FINETUNE_TEXT", False)
    embeddings = model.text_embeddings
    assert model.train().text_embeddings is embeddings is model.eval().text_embeddings


def test_embeddings_made_in_inference_mode_serve_training(build, make_batch):
    model = build("MODEL.CLIP.FINETUNE_TEXT", False)
    with torch.inference_mode():
        model.set_vocabulary(NAMES)
    model.train()(make_batch(1))["loss_sem_seg"].backward()


def test_labels_that_equal_the_number_of_names_are_wrong_too(build, make_batch):
    model, batch = build().train(), make_batch(2)
    batch[1]["sem_seg"][5, 5] = len(NAMES)
    with pytest.raises(UsageError, match="label id 8 is outside the vocabulary of 8"):
        model(batch)


def test_a_label_outside_the_vocabulary_names_file_and_id(build, make_batch):
    model, batch = build().train(), make_batch(1)
    batch[0]["sem_seg"][0, 0] = 99
    with pytest.raises(ValueError, match="made up: the label id 99 is outside the vocabulary of 8 names"):
        model(batch)


def test_an_image_of_ignored_pixels_alone(build, make_batch):
    model, batch = build().train(), make_batch(2)
    batch[0]["sem_seg"].fill_(255)
    assert model(batch)["loss_sem_seg"].isfinite()


# ---- loss ----


def test_unsuitable_values_name_their_key(tiny_cfg):
    import errseg

    wrong = [*itertools.product(("INPUT.RESOLUTION_TRAIN", "INPUT.RESOLUTION_TEST"), (0, 32)), ("MODEL.ESCF.DIM", 100)]
    wrong += [("MODEL.ESCF.SSR_RATIO", 0), ("MODEL.ESCF.CSR_RATIO", -1), ("MODEL.CRM.NUM_CLASSES_TRAIN", 0)]
    for key, value in wrong:
        cfg = tiny_cfg.clone()
        cfg.merge_from_list([key, value])
        with pytest.raises(ValueError, match=f"{key} = {value}"):
            errseg.build_model(cfg)
    if not torch.cuda.is_available():
        tiny_cfg.MODEL.DEVICE = "cuda"
        with pytest.raises(UsageError, match="MODEL.DEVICE cpu"):
            errseg.build_model(tiny_cfg)


@pytest.mark.parametrize("changes", [(), ("MODEL.GRADIENT_CHECKPOINTING", True), ABLATIONS[-1]])
def test_a_pickled_model_is_the_same_model(changes, build, make_batch, tmp_path):
    model, batch = build(*changes).eval(), make_batch(1)
    torch.save(model, tmp_path / "model.pt")
    again = torch.load(tmp_path / "model.pt", weights_only=False)
    with torch.no_grad():
        assert torch.equal(again(batch)[0]["sem_seg"], model(batch)[0]["sem_seg"])
        before = model(batch)[0]["sem_seg"]
        other = copy.deepcopy(model.state_dict())
        next(p for name, p in other.items() if name.endswith("mlp.c_fc.weight")).mul_(2)  # of the text tower
        again.load_state_dict(other)  # and its embeddings follow the weights still
        assert not torch.equal(again(batch)[0]["sem_seg"], before)


VIEWS = [
    (),
    ("TEST.KEEP_ASPECT", True, "TEST.FLIP", True),
    ("TEST.SLIDING_WINDOW", True, "MODEL.CRM.NUM_CLASSES_TEST", 2),
]


class FromImage(torch.nn.Module):
    """A model as a function of the image, as tracers want it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        return self.model([{"image": image}])[0]["sem_seg"]


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("changes", VIEWS)
def test_a_traced_model_gives_the_same(changes, build, make_batch):
    model, image = FromImage(build(*changes).eval()), make_batch(1)[0]["image"][:, :50]
    with torch.no_grad():
        traced = torch.jit.trace(model, (image,), check_trace=False)
        assert torch.equal(traced(image), model(image))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("training", [False, True])
def test_fvcore_counts_the_operations_of_the_model(training, build, make_batch):
    model = build().train(training)
    counts = FlopCountAnalysis(model, (make_batch(1),))
    counts.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    assert counts.total() > 1e6 and counts.by_module()["sem_seg_head.hsm"] > 0
    assert not {"aten::mv", "aten::dot"} & set(counts.unsupported_ops())


def test_gradients_have_the_strides_of_their_parameters(build, make_batch):
    """``DistributedDataParallel`` warns where they have not."""
    model = build().train()
    model(make_batch(1))["loss_sem_seg"].backward()
    wrong = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.stride() != p.stride()}
    assert not wrong
