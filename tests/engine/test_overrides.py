"""What a Detectron2 user overrides in a subclass of the trainer, and the hooks and names that he relies on."""

import json

import pytest
import torch
from detectron2.data import DatasetCatalog, build_detection_train_loader
from detectron2.engine import HookBase
from detectron2.engine.hooks import BestCheckpointer
from detectron2.evaluation import DatasetEvaluator

from errseg.data import SemSegMapper, build_test_loader, build_train_loader
from errseg.engine import Trainer, load_config
from errseg.errors import UsageError

NAME = "coco_2017_test_stuff_all_sem_seg"


@pytest.fixture
def cfg(tiny_config_file):
    return load_config(str(tiny_config_file), ["SOLVER.MAX_ITER", 4, "SOLVER.CHECKPOINT_PERIOD", 2])


def train(trainer_class, cfg, resume=False):
    trainer = trainer_class(cfg)
    trainer.resume_or_load(resume)
    return trainer, trainer.train()


def records(cfg):
    with open(f"{cfg.OUTPUT_DIR}/metrics.json") as file:
        return [json.loads(line) for line in file]


def losses(cfg):
    return [r["total_loss"] for r in records(cfg) if "total_loss" in r]


class WithMapper(Trainer):
    @classmethod
    def build_train_loader(cls, cfg):
        return build_train_loader(cfg, mapper=SemSegMapper(cfg))


class WithSuper(Trainer):
    @classmethod
    def build_train_loader(cls, cfg):
        return super().build_train_loader(cfg)


@pytest.mark.parametrize("trainer_class", [WithMapper, WithSuper])
def test_a_train_loader_of_detectron2s_signature_resumes_exactly(trainer_class, cfg, tmp_path, caplog):
    cfg.DATASETS.TEST = ()
    train(Trainer, cfg)
    whole = losses(cfg)
    (tmp_path / "output/last_checkpoint").write_text("model_0000001.pth")
    trainer, _ = train(trainer_class, cfg, resume=True)
    assert trainer.start_iter == 2 and losses(cfg) == whole
    assert "errseg.data.build_train_loader" not in caplog.text


def test_a_train_loader_of_ones_own_says_once_what_is_lost(cfg, caplog):
    class Own(Trainer):
        @classmethod
        def build_train_loader(cls, cfg):
            records = DatasetCatalog.get(cfg.DATASETS.TRAIN[0])
            sampler = torch.utils.data.sampler.SequentialSampler(records * 50)
            return build_detection_train_loader(
                records * 50,
                mapper=SemSegMapper(cfg),
                sampler=sampler,
                total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
                aspect_ratio_grouping=False,
            )

    cfg.DATASETS.TEST = ()
    trainer, _ = train(Own, cfg)
    assert trainer.iter == 4
    said = [r.getMessage() for r in caplog.records if "Own.build_train_loader" in r.getMessage()]
    assert len(said) == 1 and "resumed run" in said[0]


class Seen(DatasetEvaluator):
    """Counts images and looks at the scores."""

    def reset(self):
        self.images = 0

    def process(self, inputs, outputs):
        self.images += len(inputs)
        assert all(x["sem_seg"].dim() == 3 for x in outputs)

    def evaluate(self):
        return {"seen": {"images": self.images}}


class Loaded(Trainer):
    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        return build_test_loader(cfg, dataset_name, mapper=FourOnly(cfg))


class FourOnly(SemSegMapper):
    """Returns None for two of the six images, as Detectron2's mappers may."""

    @classmethod
    def from_config(cls, cfg):
        return super().from_config(cfg, is_train=False)

    def __call__(self, record):
        return None if record["file_name"].endswith(("1.jpg", "3.jpg")) else super().__call__(record)


class Evaluated(Loaded):
    @classmethod
    def build_evaluator(cls, cfg, dataset_name):
        return Seen()


class Listed(Loaded):
    @classmethod
    def build_evaluator(cls, cfg, dataset_name):
        return [super().build_evaluator(cfg, dataset_name), Seen()]


@pytest.fixture
def model(cfg):
    return Trainer.build_model(cfg)


def test_overrides_of_loaders_and_evaluators_are_called(cfg, model, tmp_path):
    usual = Trainer.test(cfg, model)
    assert usual[NAME] == usual["sem_seg"] and set(usual[NAME]) == {"mIoU", "fwIoU", "mACC", "pACC"}
    content = json.loads((tmp_path / "output/evaluation.json").read_text())
    assert content["results"][NAME]["images"] == 6
    four = Loaded.test(cfg, model)
    content = json.loads((tmp_path / "output/evaluation.json").read_text())
    assert content["results"][NAME]["images"] == 4
    assert Evaluated.test(cfg, model) == {NAME: {"seen": {"images": 4}}, "seen": {"images": 4}}
    both = Listed.test(cfg, model)
    assert both["seen"] == {"images": 4} and both["sem_seg"]["mIoU"] == both[NAME]["mIoU"]
    assert both["sem_seg"] == pytest.approx(four["sem_seg"])


def test_evaluators_may_be_given(cfg, model):
    for evaluators in (Seen(), [Seen()]):
        assert Trainer.test(cfg, model, evaluators=evaluators)["seen"] == {"images": 6}
    with pytest.raises(UsageError, match="2 evaluators for the 1 data sets of DATASETS.TEST"):
        Trainer.test(cfg, model, evaluators=[Seen(), Seen()])


def test_an_evaluator_that_is_not_implemented_is_left_out_with_a_word(cfg, model, caplog):
    class Without(Trainer):
        @classmethod
        def build_evaluator(cls, cfg, dataset_name):
            raise NotImplementedError

    assert Without.test(cfg, model) == {}
    assert "Without.build_evaluator gives no evaluator" in caplog.text


class Evaluates(HookBase):
    """Leaves the model in evaluation mode."""

    def after_step(self):
        self.trainer.model.eval()


def test_a_hook_that_leaves_the_model_in_evaluation_mode_is_named(cfg):
    class Left(Trainer):
        def build_hooks(self):
            return [*super().build_hooks(), Evaluates()]

    with pytest.raises(UsageError, match="model was changed to eval mode!.*iteration 1"):
        train(Left, cfg)


def test_hooks_writers_and_expected_results_of_detectron2(cfg, tmp_path):
    class Backward(HookBase):
        calls = 0

        def after_backward(self):
            Backward.calls += 1
            assert any(p.grad is not None for p in self.trainer.model.parameters())

    class Hooked(Trainer):
        def build_hooks(self):
            hooks = super().build_hooks()
            self.best = BestCheckpointer(2, self.checkpointer, "sem_seg/mIoU")
            return [*hooks[:-1], Backward(), self.best, None, hooks[-1]]

        def build_writers(self):
            return super().build_writers()[:1]

    cfg.TEST.EVAL_PERIOD = 2
    cfg.TEST.EXPECTED_RESULTS = [["sem_seg", "mIoU", 50.0, 50.0], [NAME, "mIoU", 50.0, 50.0]]
    trainer, results = train(Hooked, cfg)
    scores = [r["sem_seg/mIoU"] for r in records(cfg) if "sem_seg/mIoU" in r]
    assert Backward.calls == 4 and len(scores) == 2 and trainer.best.best_metric == max(scores)
    assert (tmp_path / "output/model_best.pth").is_file()
    assert results["sem_seg"] == results[NAME]
    scored = next(r for r in records(cfg) if "sem_seg/mIoU" in r)
    assert scored["sem_seg/mIoU"] == scored[f"{NAME}/mIoU"]
    assert not list((tmp_path / "output").glob("events*"))


def test_a_model_of_one_loss_and_an_optimizer_of_ones_own(cfg):
    class Other(Trainer):
        @classmethod
        def build_model(cls, cfg):
            return OneLoss()

        @classmethod
        def build_optimizer(cls, cfg, model):
            return torch.optim.SGD(model.parameters(), lr=0.1)

        @classmethod
        def build_lr_scheduler(cls, cfg, optimizer):
            return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)

    cfg.DATASETS.TEST = ()
    cfg.MODEL.CLIP.PRETRAINED = ""
    trainer, _ = train(Other, cfg)
    assert len(losses(cfg)) == 4 and losses(cfg)[0] > losses(cfg)[-1]


class OneLoss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, batch):
        return self.weight.square().sum()
