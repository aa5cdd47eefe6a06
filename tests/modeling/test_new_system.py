"""A system moves in: this file alone adds one, and the whole of errseg works with it.

The toy system shares nothing with ERR-Seg but the house: it has no CLIP, no cost maps and no CRM. It is the example of
``docs/architecture.md``, which says how to add a system.
"""

import inspect
import json
import logging
import sys
import zlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import errseg

# isort: split
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY

from errseg.cli import main
from errseg.config import get_cfg, keys, load_config
from errseg.data import register_dataset_files
from errseg.engine import Trainer
from errseg.errors import UsageError
from errseg.evaluation import paper
from errseg.export import runner_of
from errseg.modeling import OpenVocabularySegmenter, System, register, system, system_of, system_of_model
from errseg.modeling.prediction import Prediction
from errseg.modeling.system import Released
from errseg.modeling.views import Views
from errseg.modeling.vocabulary import TokenizedNames, check_names, embed_names
from errseg.web.service import Service

MOST_LINES = 80

# ---- the toy system ----

# Shapes: B images, T names, Q query masks, C width, h x w a quarter of the view.
QUERIES, BUCKETS, LENGTH = 16, 64, 12


class MaskToy(OpenVocabularySegmenter):
    """Query masks, each of which votes for names; the embedding of a name is the mean of its characters'."""

    text_is_trained = True

    @configurable
    def __init__(self, width, sparsity, resolution_train, **options):
        super().__init__(**options)
        self.sparsity, self.resolution_train = sparsity, resolution_train
        self.characters = nn.Embedding(BUCKETS, width)
        self.pixels = nn.Sequential(nn.Conv2d(3, width, 4, 4), nn.GELU(), nn.Conv2d(width, width, 1))
        self.queries = nn.Parameter(torch.randn(QUERIES, width))

    @classmethod
    def from_config(cls, cfg):
        toy, side = cfg.MODEL.TOY, cfg.INPUT.RESOLUTION_TRAIN
        model = {"width": toy.WIDTH, "sparsity": toy.SPARSITY, "resolution_train": side}
        pixels = {"pixel_mean": cfg.MODEL.PIXEL_MEAN, "pixel_std": cfg.MODEL.PIXEL_STD}
        ignored = cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
        return {**model, **pixels, "views": Views.from_config(cfg), "ignore_label": ignored}

    def tokenize(self, names, num_kept=0):
        check_names(names, num_kept)
        ids = [[zlib.crc32(letter.encode()) % BUCKETS for letter in name[:LENGTH].ljust(LENGTH)] for name in names]
        return TokenizedNames(tuple(names), len(names), torch.tensor(ids), torch.arange(len(names)))  # all are kept

    def encode_names(self, tokenized):
        return embed_names(tokenized, lambda ids: F.normalize(self.characters(ids.to(self.device)).mean(1), dim=-1))

    def segment(self, images, text, num_kept, show=False):
        features = self.pixels(images)  # (B, C, h, w)
        masks = torch.einsum("bchw,qc->bqhw", features, self.queries).sigmoid()
        pooled = torch.einsum("bqhw,bchw->bqc", masks, features) / masks.sum((2, 3)).unsqueeze(-1)
        classes = (10 * F.normalize(pooled + self.queries, dim=-1) @ text.T).softmax(-1)  # (B, Q, T)
        kept = torch.arange(text.shape[0], device=text.device).expand(images.shape[0], -1)
        total = torch.ones_like(classes[..., :1]).mT  # the sum of all masks: scores are sums, up to Q
        return Prediction(masks, kept, total=total, mix=classes.mT)

    def losses(self, batched_inputs):
        encoded, text = self.text_for_training()
        labels = self.stack_labels(batched_inputs)
        self.present_names(labels, batched_inputs, len(encoded.names))  # refuses ids that are no name's
        side = (self.resolution_train, self.resolution_train)
        images = torch.cat([self.preprocess(inputs["image"], side) for inputs in batched_inputs])
        predicted = self.segment(images, text, len(text)).dense()
        shares = F.interpolate(predicted.scores / predicted.total, labels.shape[-2:], mode="bilinear")
        loss = F.nll_loss(shares.log(), labels.to(self.device), ignore_index=self.ignore_label)
        return {"loss_mask": loss, "loss_sparse": self.sparsity * predicted.total.mean()}


def add_config(cfg):
    cfg.MODEL.TOY = CfgNode({"WIDTH": 8, "SPARSITY": 0.01})  # C; weight of the loss that keeps masks small


def released_config(state_dict):
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.TOY.WIDTH = "MaskToy", state_dict["toynet.queries"].shape[1]
    return cfg


TOY = System(
    name="Mask Toy",
    meta_architecture="MaskToy",
    add_config=add_config,
    key_ranges={"MODEL.TOY.WIDTH": (1, 512)},
    training_keys=["MODEL.TOY.SPARSITY"],
    parts={"characters.": "characters", "": "masks"},
    released=Released(
        recognises=lambda state_dict: any(key.startswith("toynet.") for key in state_dict),
        config=released_config,
        from_released=lambda state_dict: {key.removeprefix("toynet."): each for key, each in state_dict.items()},
        to_released=lambda key: f"toynet.{key}",
    ),
    cannot={"inspect": "it has no cost maps and no attention to draw"},
)

# ---- the toy moves in ----

CONFIG = """\
MODEL: {{META_ARCHITECTURE: MaskToy, DEVICE: cpu, TOY: {{WIDTH: 12}}}}
DATASETS: {{TRAIN: [{pets}], TEST: [{pets}, {street}]}}
INPUT:
  RESOLUTION_TRAIN: 64
  RESOLUTION_TEST: 64
  MIN_SIZE_TRAIN: [64]
  MIN_SIZE_TEST: 0
  SIZE_DIVISIBILITY: 64
  CROP: {{ENABLED: true, TYPE: absolute, SIZE: [64, 64]}}
SOLVER: {{MAX_ITER: 4, CHECKPOINT_PERIOD: 2, IMS_PER_BATCH: 2, BASE_LR: 0.01, WARMUP_ITERS: 0}}
DATALOADER: {{NUM_WORKERS: 0}}
SEED: 7
OUTPUT_DIR: {output}
"""
PETS, STREET = ["cat", "dog, hound", "grass"], ["road", "car", "sky", "wall"]


class House:
    """The toy in the house: two data sets, a configuration, and a run of four steps."""

    def __init__(self, root):
        self.root, self.config, self.output = root, root / "toy.yaml", root / "run"
        random = np.random.default_rng(0)
        sets = [self._draw(random, name, names) for name, names in (("pets", PETS), ("street", STREET))]
        self.sets = dict(zip(("pets", "street"), sets, strict=True))
        self.config.write_text(CONFIG.format(**self.sets, output=self.output))
        self.picture = root / "pets/images/0.png"
        self.weights = str(self.output / "model_final.pth")
        self.model = ["--config", str(self.config), "--weights", self.weights]

    def _draw(self, random, name, names):
        for number in range(3):
            label = np.kron(random.integers(0, len(names), (3, 4)), np.ones((16, 16), int)).astype(np.uint8)
            image = (label[..., None] * np.array([60, 30, 50]) + random.integers(0, 30, (48, 64, 3))).astype(np.uint8)
            for folder, array in (("images", image), ("labels", label)):
                path = self.root / name / folder / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
        path = self.root / name / f"{name}.yaml"
        path.write_text(json.dumps({"images": "images", "labels": "labels", "names": names}))
        return str(path)

    def cfg(self, *changes):
        return load_config(str(self.config), list(changes))

    def train(self, resume=False):
        trainer = Trainer(self.cfg("DATASETS.TEST", ()))
        trainer.resume_or_load(resume)
        start = trainer.start_iter
        trainer.train()
        records = map(json.loads, (self.output / "metrics.json").read_text().splitlines())
        return start, {each["iteration"]: (each["loss_mask"], each["loss_sparse"]) for each in records}

    def load(self):
        segmenter = errseg.load(self.config, self.weights, verbose=False)
        segmenter.set_vocabulary(PETS)
        return segmenter


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    loggers = [logging.getLogger(name) for name in ("detectron2", "errseg")]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    META_ARCH_REGISTRY.register(MaskToy)
    register(TOY)
    made = House(tmp_path_factory.mktemp("house"))
    register_dataset_files(made.sets.values())
    made.steps = made.train()
    yield made
    system._SYSTEMS.pop("MaskToy"), keys._SYSTEMS.pop("MaskToy")  # other tests see the house without the toy
    paper._rows.cache_clear()
    for path in made.sets.values():
        DatasetCatalog.remove(path), MetadataCatalog.remove(path)
    for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
        logger.level, logger.propagate, logger.handlers = level, propagate, handlers


def test_the_toy_is_short():
    source = inspect.getsource(sys.modules[__name__])
    toy = source.split("# ---- the toy system ----\n")[1].split("# ---- the toy moves in ----\n")[0]
    assert "class MaskToy" in toy and "System(" in toy and len(toy.strip().splitlines()) <= MOST_LINES


def test_training_and_an_exact_resume(house):
    start, losses = house.steps
    assert start == 0 and list(losses) == [0, 1, 2, 3] and np.isfinite(list(losses.values())).all()
    (house.output / "last_checkpoint").write_text("model_0000001.pth")
    assert house.train(resume=True) == (2, losses)


def test_a_label_outside_the_names_is_one_sentence(house):
    model = errseg.build_model(house.cfg()).train()
    model.set_vocabulary(PETS)
    inputs = {"image": torch.zeros(3, 64, 64), "sem_seg": torch.full((64, 64), 3), "file_name": "a.png"}
    with pytest.raises(UsageError, match="a.png: the label id 3 is outside the vocabulary of 3 names"):
        model([inputs])


def test_a_key_out_of_its_range_is_one_sentence(house):
    with pytest.raises(UsageError, match="MODEL.TOY.WIDTH = 0; give 1 to 512"):
        errseg.build_model(house.cfg("MODEL.TOY.WIDTH", 0))


def test_a_precision_that_it_does_not_have_is_one_sentence(house):
    with pytest.raises(UsageError, match="MODEL.PRECISION = 'bfloat16', but MaskToy runs in float32 alone"):
        errseg.load(house.config, house.weights, precision="bfloat16", verbose=False)


def test_evaluation_on_two_data_sets(house, tmp_path, capfd):
    command = ["evaluate", *house.model, "--dataset", *house.sets.values(), "--out", str(tmp_path)]
    command += ["--save-predictions", str(tmp_path / "predictions")]
    assert main(command) == 0
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert list(written["results"]) == list(house.sets.values()) and written["paper"] is None
    for result, names in zip(written["results"].values(), (PETS, STREET), strict=True):
        assert (result["classes"], result["images"], result["num_classes_test"]) == (names, 3, len(names))
        assert 0 <= result["mIoU"] <= 100
    assert main([*command, "MODEL.TOY.SPARSITY", "0.5"]) == 0  # of training: the predictions are scored again
    capfd.readouterr()
    assert main([*command, "TEST.FLIP", "True"]) == 2
    assert "TEST.FLIP False, now True" in capfd.readouterr().err.splitlines()[-1]


def test_prediction_with_confidences_and_a_background(house):
    segmenter = house.load()
    assert "Mask Toy" in repr(segmenter) and system_of_model(segmenter.model) is system_of(segmenter.cfg) is TOY
    picture = np.asarray(Image.open(house.picture))
    plain, flipped = segmenter(picture), segmenter(picture[:, ::-1].copy())
    for result in (plain, flipped):
        assert result.labels.shape == result.scores.shape == picture.shape[:2]
        assert 0.25 - 1e-6 <= result.scores.min() < result.scores.max() <= 1  # of four names, the best
        assert [each.name for each in result.kept] == PETS
    views = segmenter.model.predict_views([segmenter.inputs(picture)], segmenter.encoded)
    view = views[0][0]
    assert (view.mix @ view.scores.flatten(1)).max() > 1  # sums over masks: not confidences
    middle = float(np.median(plain.scores))
    other = segmenter(picture, background="other", min_confidence=middle)
    assert ((other.labels == 3) == (plain.scores < middle)).all() and (other.labels == 3).any()


def test_batch_prediction_is_done_once(house, tmp_path, capfd):
    names = ["--classes", ", ".join(PETS).replace("dog, hound", '"dog, hound"'), "--out", str(tmp_path)]
    command = ["predict", str(house.picture.parent), *house.model, *names]
    assert main(command) == 0
    content = json.loads((tmp_path / "0.json").read_text())
    assert [each["name"] for each in content["kept"]] == PETS
    capfd.readouterr()
    assert main(command) == 0 and "kept    3" in capfd.readouterr().out


def test_web_service(house):
    service = Service(house.load())
    result = service.segment(house.picture, ["sky", "dog"])
    assert result.names == ("sky", "dog") and result.labels.shape == (48, 64)


def test_export_to_onnx(house, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(PETS))
    options = ["--open-vocabulary", "--classes-file", str(tmp_path / "names.txt"), "--out", str(tmp_path / "out")]
    assert main(["export", *house.model, *options]) == 0
    names, said = (json.loads((tmp_path / f"out/{name}.json").read_text()) for name in ("names", "preprocessing"))
    assert said["agreement"] >= 0.999 and said["num_classes"] is None
    image = np.asarray(Image.open(house.picture).resize((64, 64)))
    text = np.load(tmp_path / "out/text_embeddings.npy")
    labels, confidences = runner_of(tmp_path / "out/model.onnx", 1)(image.transpose(2, 0, 1)[None].copy(), text)
    result = house.load()(image)
    assert (np.array([PETS.index(name) for name in names])[labels[0]] == result.labels).mean() > 0.999
    np.testing.assert_allclose(confidences[0], result.scores, atol=1e-4)


def test_report_of_parameters_and_their_sources(house, capfd):
    model = errseg.build_model(house.cfg())
    count = sum(parameter.numel() for parameter in model.parameters())
    said = model.weight_sources.describe(model)
    assert "characters" in said and "masks" in said and said.count("random") == 2 and "CLIP" not in said
    errseg.load(house.config, house.weights)
    assert f"Loaded {house.weights}: Mask Toy, {count / 1e6:.1f} million" in capfd.readouterr().err


def test_a_released_file_alone(house, tmp_path):
    own = torch.load(house.weights, weights_only=True)["model"]
    path = tmp_path / "released.pth"
    torch.save({"model": {TOY.released.to_released(key): value for key, value in own.items()}}, path)
    segmenter = errseg.load(path, overrides=["INPUT.RESOLUTION_TEST", 64, "INPUT.MIN_SIZE_TEST", 0], verbose=False)
    segmenter.set_vocabulary(PETS)
    assert segmenter.cfg.MODEL.TOY.WIDTH == 12
    picture = np.asarray(Image.open(house.picture).resize((64, 64)))
    np.testing.assert_array_equal(segmenter(picture).labels, house.load()(picture).labels)


def benchmark(house, *options):
    return main(["benchmark", *house.model, "--vocabulary", "random:5", "--repeats", "1", "--no-memory", *options])


def test_benchmark(house, tmp_path):
    path = tmp_path / "rows.json"
    assert benchmark(house, "--form", "fast", "--json", str(path)) == 0
    (row,) = json.loads(path.read_text())
    assert row["latency_s"] > 0 and row["gmacs"] > 0 and row["num_classes_kept"] == row["num_names"] == 5


def test_benchmark_of_the_plain_form_is_one_sentence(house, capfd):
    assert benchmark(house, "--form", "plain") == 2
    assert "Mask Toy has no plain form" in capfd.readouterr().err.splitlines()[-1]


def test_inspection_is_one_sentence(house, tmp_path, capfd):
    assert main(["inspect", str(house.picture), *house.model, "--classes", "cat", "--out", str(tmp_path)]) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert last == "errseg inspect: Mask Toy cannot inspect: it has no cost maps and no attention to draw."
