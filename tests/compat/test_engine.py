"""The training loop and its hooks."""

import re

import pytest
import torch
from detectron2.engine import HookBase, TrainerBase, hooks
from detectron2.utils.events import get_event_storage
from torch import nn


class Recorder(HookBase):
    def __init__(self, name, calls):
        self.name, self.calls = name, calls

    def note(self, event):
        self.calls.append((self.name, event, self.trainer.iter))

    def before_train(self):
        self.note("before_train")

    def after_train(self):
        self.note("after_train")

    def before_step(self):
        self.note("before_step")

    def after_step(self):
        self.note("after_step")
        assert get_event_storage().iter == self.trainer.iter

    def state_dict(self):
        return {"name": self.name}

    def load_state_dict(self, state):
        self.loaded = state


class Loop(TrainerBase):
    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def run_step(self):
        self.calls.append(("loop", "run_step", self.iter))
        if self.iter == 99:
            raise RuntimeError("broken")


def test_hooks_run_in_order():
    calls = []
    loop = Loop(calls)
    loop.register_hooks([Recorder("a", calls), None, Recorder("b", calls)])
    loop.train(3, 5)
    step = ["before_step a", "before_step b", "run_step loop", "after_step a", "after_step b"]
    expected = ["before_train a 3", "before_train b 3"]
    expected += [f"{call} {i}" for i in (3, 4) for call in step] + ["after_train a 5", "after_train b 5"]
    assert [f"{event} {name} {i}" for name, event, i in calls] == expected
    assert (loop.start_iter, loop.max_iter, loop.iter) == (3, 5, 5)
    with pytest.raises(AssertionError):
        loop.register_hooks(["not a hook"])


def test_after_train_runs_when_training_breaks():
    calls = []
    loop = Loop(calls)
    loop.register_hooks([Recorder("a", calls)])
    with pytest.raises(RuntimeError, match="broken"):
        loop.train(98, 200)
    assert calls[-1] == ("a", "after_train", 99)


def test_state_of_loop_and_hooks(log):
    loop = Loop([])
    loop.register_hooks([Recorder("a", [])])
    loop.iter = 7
    state = loop.state_dict()
    assert state == {"iteration": 7, "hooks": {"Recorder": {"name": "a"}}}
    other = Loop([])
    other.register_hooks([Recorder("b", [])])
    other.load_state_dict({**state, "hooks": {**state["hooks"], "Vanished": {}}})
    assert other.iter == 7 and other._hooks[0].loaded == {"name": "a"}
    assert "Vanished" in log.text


def test_eval_hook():
    calls, results = [], {"sem_seg": {"mIoU": torch.tensor(1.5), "ACC-a": 2}}
    loop = Loop([])
    loop.register_hooks([hooks.EvalHook(3, lambda: calls.append(loop.iter) or results)])
    loop.train(0, 6)
    assert calls == [2, 6]  # at the last iteration, only after training
    assert loop.storage.latest() == {"sem_seg/mIoU": (1.5, 6), "sem_seg/ACC-a": (2.0, 6)}
    calls.clear()
    loop = Loop([])
    loop.register_hooks([hooks.EvalHook(0, lambda: calls.append(loop.iter))])
    with pytest.raises(RuntimeError):
        loop.train(98, 200)
    assert calls == []  # a broken training is not evaluated
    loop = Loop([])
    loop.register_hooks([hooks.EvalHook(0, lambda: {"a": "text"})])
    with pytest.raises(ValueError, match="a"):
        loop.train(0, 1)


def test_timer_sums_up(log):
    loop = Loop([])
    loop.register_hooks([hooks.IterationTimer(warmup_iter=2)])
    loop.train(0, 5)
    assert loop.storage.history("time").values()[0][1] == 1  # not during the warm-up
    assert re.search(r"Overall training speed: \d+ iterations in 0:00:00 \(\d\.\d{4} s / it\)", log.text)
    assert re.search(r"Total training time: 0:00:00 \(0:00:00 on hooks\)", log.text)


def test_learning_rate_hook_reports_the_common_rate():
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.5, 0.1, 0.1)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    assert hooks.LRScheduler.get_best_param_group_id(optimizer) == 1
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1 / (1 + i))
    loop = Loop([])
    loop.optimizer, loop.scheduler = optimizer, scheduler
    loop.register_hooks([hooks.LRScheduler()])
    loop.train(0, 3)
    assert [value for value, _ in loop.storage.history("lr").values()] == pytest.approx([0.1, 0.05, 0.1 / 3])


def test_the_reported_rate_is_that_of_the_largest_group():
    sizes_and_rates = ((1, 0.5), (3, 0.2), (2, 0.5))
    groups = [{"params": [nn.Parameter(torch.zeros(1)) for _ in range(n)], "lr": lr} for n, lr in sizes_and_rates]
    assert hooks.LRScheduler.get_best_param_group_id(torch.optim.SGD(groups, lr=1.0)) == 1


def test_scheduler_hook_with_arguments_and_no_evaluation_at_the_end():
    from fvcore.common.param_scheduler import LinearParamScheduler

    loop, calls = Loop([]), []
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.25)
    loop.register_hooks(
        [
            hooks.LRScheduler(optimizer, LinearParamScheduler(1.0, 0.0)),
            hooks.EvalHook(0, lambda: calls.append(1), eval_after_train=False),
        ]
    )
    loop.train(0, 4)
    assert [v for v, _ in loop.storage.history("lr").values()] == pytest.approx([0.25, 0.1875, 0.125, 0.0625])
    assert calls == []


@pytest.mark.parametrize(("mode", "best"), [("max", 3.0), ("min", 1.0)])
def test_the_best_checkpoint_is_kept(mode, best):
    class Checkpointer:
        saved = []

        def save(self, name, **state):
            self.saved.append((name, state))

    values, checkpointer = iter([2.0, float("nan"), 3.0, 1.0]), Checkpointer()
    checkpointer.saved = []
    loop = Loop([])
    hook = hooks.BestCheckpointer(1, checkpointer, "sem_seg/mIoU", mode)
    loop.register_hooks([hooks.EvalHook(1, lambda: {"sem_seg": {"mIoU": next(values)}}), hook])
    loop.train(0, 4)
    assert hook.best_metric == best
    assert [name for name, _ in checkpointer.saved] == ["model_best"] * 2
    with pytest.raises(AssertionError):
        hooks.BestCheckpointer(1, checkpointer, "x", mode="most")
