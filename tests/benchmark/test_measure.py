"""How it is measured: in turns, each with its own memory, work counted right."""

import subprocess

import pytest
import torch
import torch.nn.functional as F

from errseg.agreement import share_of_equal_pixels
from errseg.benchmark import measure
from errseg.benchmark.cases import Case, check_plain_fits, make_cases
from errseg.benchmark.chart import colours_of
from errseg.benchmark.child import peak_memory
from errseg.benchmark.inputs import image_batches, scene, training_batch
from errseg.benchmark.jobs import Job, Prediction
from errseg.benchmark.macs import count_macs
from errseg.benchmark.marks import Marks
from errseg.benchmark.models import Models, build, random_embeddings, set_embeddings
from errseg.benchmark.names import NameList, name_list
from errseg.benchmark.paper import TABLE10
from errseg.benchmark.prepare import make_job
from errseg.benchmark.rows import make_rows
from errseg.benchmark.tables import duration, main_table
from errseg.benchmark.work import WorkCounter, count_work, measure_rates
from errseg.engine import build_optimizer
from errseg.errors import UsageError
from errseg.modeling.system import _SYSTEMS, System

FORTY = name_list("random:40", 6)


@pytest.fixture
def clockwork(monkeypatch):
    """Runs take the time that ``clockwork`` says, in order: the cases as they were run, and the times."""
    ran, times = [], []

    def timed(job):
        ran.append(str(job.case))
        return times.pop(0), {}

    monkeypatch.setattr(Job, "timed", timed)
    return ran, times


def test_cases_take_turns_and_medians_count(cfg, clockwork):
    ran, times = clockwork
    cases = make_cases("predict", "both", ["fp32", "bf16"], [FORTY], [1])
    times += [8.0, 4.0, 2.0, 60.0, 30.0, 1.0, 10.0, 5.0, 2.0]
    rows = make_rows(measure.measure(cases, cfg, repeats=3, memory=False), cfg)
    turn = [f"{case}, random:40, batch 1" for case in ("plain fp32", "fast fp32", "fast bf16")]
    assert ran == turn * 3
    assert [row["latency_s"] for row in rows] == [10.0, 5.0, 2.0]
    assert [(row["latency_min_s"], row["latency_max_s"]) for row in rows] == [(8.0, 60.0), (4.0, 30.0), (1.0, 2.0)]
    assert [row["ratio"] for row in rows] == [1.0, 2.0, 5.0]


def test_without_the_plain_form_the_fast_one_is_compared_with(cfg):
    cases = make_cases("predict", "fast", ["fp32", "bf16"], [FORTY], [1])
    first, second = make_rows(measure.measure(cases, cfg, repeats=1, memory=False), cfg)
    assert first["agreement"] is None and second["agreement_with"] == "fast fp32, random:40, batch 1"
    assert first["ratio"] is None is second["ratio"]


def test_a_system_is_measured_by_its_record(cfg, monkeypatch):
    monkeypatch.setitem(_SYSTEMS, "ERRSeg", System("Toy", "ERRSeg"))  # it keeps all names; no stages, no plain form
    with pytest.raises(UsageError, match="Toy has no plain form; give --form fast"):
        measure.measure(make_cases("predict", "both", ["fp32"], [FORTY], [1]), cfg, repeats=1, memory=False)
    cases = make_cases("predict", "fast", ["fp32"], [FORTY], [1])
    [row] = make_rows(measure.measure(cases, cfg, repeats=1, memory=False), cfg)
    assert row["num_classes_kept"] == 40 and list(row["parts_s"]) == ["output"]
    assert row["gmacs"] > 0 and row["escf_gmacs"] is None
    with pytest.raises(UsageError, match="--paper-table 10 is for ERR-Seg"):
        TABLE10[0].apply(cfg)


def test_one_case_out_of_memory_stops_no_other(cfg, monkeypatch):
    """On a GPU, a large batch may not fit: at once, or in one of the runs."""
    runs = []

    def timed(job):
        runs.append(job.case)
        if job.case.precision == "bf16" and len(runs) > 3:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return 1.0, {}

    def predict_all(job):
        if job.case.form == "plain":
            raise torch.cuda.OutOfMemoryError("out of memory")
        return [torch.zeros(2, 2)]

    monkeypatch.setattr(Job, "timed", timed)
    monkeypatch.setattr(Prediction, "predict_all", predict_all)
    cases = make_cases("predict", "both", ["fp32", "bf16"], [FORTY], [1])
    rows = make_rows(measure.measure(cases, cfg, repeats=3, memory=False), cfg)
    assert [row["latency_s"] for row in rows] == [None, 1.0, None]
    assert [row["repeats"] for row in rows] == [0, 3, 0] and rows[1]["ratio"] is None
    assert main_table(rows).count("out of memory") == 2


def test_cases_are_those_that_make_sense():
    def made(*arguments, **options):
        return [(c.form, c.precision, c.batch, c.compile_mode) for c in make_cases(*arguments, **options)]

    assert made("predict", "both", ["bf16"], [FORTY], [1, 8], "default") == [
        ("plain", "fp32", 1, ""), ("fast", "bf16", 1, ""), ("fast", "bf16", 1, "default"),
        ("plain", "fp32", 8, ""), ("fast", "bf16", 8, ""), ("fast", "bf16", 8, "default"),
    ]  # fmt: skip
    assert made("train", "both", ["fp32", "fp16"], [FORTY], [4], device="cuda") == [
        ("plain", "fp32", 4, ""), ("plain", "fp16", 4, ""), ("fast", "fp32", 4, ""), ("fast", "fp16", 4, "")
    ]  # fmt: skip


def test_compiled_models_have_no_marks_and_predict_the_same(cfg, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: asked.append(options) or function)
    models, case = Models(cfg), Case("predict", "fast", "fp32", FORTY)
    eager = make_job(case, cfg, models.of("fp32"))
    assert not asked
    compiled = make_job(Case("predict", "fast", "fp32", FORTY, compile_mode="reduce-overhead"), cfg, models.of("fp32"))
    assert asked[0]["mode"] == "reduce-overhead" and compiled.marks is None and compiled.timed()[1] == {}
    assert share_of_equal_pixels(eager.predict_all(), compiled.predict_all()) == 1


def test_a_compiled_model_has_the_floor_of_the_uncompiled_one(cfg, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    cases = make_cases("predict", "fast", ["fp32"], [FORTY], [1], "default")
    eager, compiled = make_rows(measure.measure(cases, cfg, repeats=1, memory=False, floor=True), cfg)
    assert compiled["compiled"] == "default" and compiled["parts_s"] == {}
    assert compiled["floor_macs_s"] == eager["floor_macs_s"] > 0 and compiled["agreement"] == 1


# ---- memory ----


def test_peak_memory_is_that_of_the_case_alone(cfg):
    names = NameList("many", tuple(map(str, range(2000))), 6)
    held = torch.ones(300_000_000)  # 1.2 GB of this process that are not the case's
    fast, plain = (peak_memory(Case("predict", form, "fp32", names), cfg) for form in ("fast", "plain"))
    assert 200 < fast < held.nbytes / 1e6
    scores = 4 * 2000 * 64 * 64 / 1e6
    assert plain - fast > scores


@pytest.mark.parametrize(("status", "error"), [(-9, ""), (1, "torch.OutOfMemoryError: CUDA out of memory. Tried")])
def test_a_process_out_of_memory_has_no_figure(cfg, monkeypatch, status, error):
    done = subprocess.CompletedProcess([], status, stdout="", stderr=error)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert peak_memory(Case("predict", "fast", "fp32", FORTY), cfg) is None


def test_a_failing_process_is_an_error_that_tells_why(cfg, monkeypatch):
    done = subprocess.CompletedProcess([], 1, stdout="12.5", stderr="ImportError: no such thing")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(RuntimeError, match="fast fp32, random:40, batch 1 failed:\nImportError: no such thing"):
        peak_memory(Case("predict", "fast", "fp32", FORTY), cfg)


def test_plain_scores_that_do_not_fit_are_refused():
    case = Case("predict", "plain", "fp32", NameList("random:20000", ("",) * 20_000, 48))
    check_plain_fits(case, (640, 640), memory=64 << 30)
    with pytest.raises(UsageError, match="20000 names .* take 33 GB of this machine's 26; .* --form fast"):
        check_plain_fits(case, (640, 640), memory=24 << 30)


# ---- models and inputs ----


def test_training_steps_of_both_forms_have_one_loss_and_change_the_weights(cfg):
    cfg.SOLVER.BASE_LR = 1e-6
    models = Models(cfg)
    model = models.of("fp32")
    optimizer, losses = build_optimizer(cfg, model), []
    before = model.sem_seg_head.gud.head.weight.clone()
    for form in ("plain", "fast"):
        job = make_job(Case("train", form, "fp32", FORTY), cfg, models.of("fp32"), optimizer=optimizer)
        losses.append(float(job()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)  # one small step lies between them
    assert not torch.equal(before, models.of("fp32").sem_seg_head.gud.head.weight)


def test_instances_share_weights_and_nothing_else(cfg):
    models = Models(cfg)
    one, two, low = models.of("fp32"), models.of("fp32"), models.of("bf16")
    assert all(a is b for a, b in zip(one.parameters(), two.parameters(), strict=True))
    set_embeddings(one, FORTY, random_embeddings(one, FORTY.names))
    assert two.vocabulary is None and two.text_embeddings is None
    weight, lowered = one.sem_seg_head.hsm.proj16.weight, low.sem_seg_head.hsm.proj16.weight
    assert weight.dtype == torch.float32 and lowered.dtype == torch.bfloat16
    assert torch.equal(weight, build(cfg).sem_seg_head.hsm.proj16.weight)  # same seed, and not rounded


def test_inputs(tmp_path):
    image, regions = scene(64)
    assert image.dtype == torch.uint8 and image.shape == (3, 64, 64) and len(regions.unique()) > 5
    batches = image_batches(2, [], 64)
    assert len(batches) == 1 and torch.equal(batches[0][0]["image"], image)
    assert not torch.equal(batches[0][0]["image"], batches[0][1]["image"])
    labels = training_batch(2, 64, 171, 255)[1]["sem_seg"]
    assert (labels == 255).any() and labels[labels != 255].max() < 171 and len(labels.unique()) > 5
    assert training_batch(1, 64, 3, 255)[0]["sem_seg"].unique().tolist() == [0, 1, 2, 255]


# ---- parts and work ----


@pytest.mark.parametrize("form", ["plain", "fast"])
def test_counted_work_is_what_the_model_was_designed_to_do(cfg, form):
    job = make_job(Case("predict", form, "fp32", FORTY), cfg, build(cfg))
    work, parts = count_work(job)
    expected = count_macs(cfg, 40, 6, form)
    assert work.macs / 1e9 == pytest.approx(expected["total"], rel=1e-3)
    assert sum(part.macs for part in parts.values()) == work.macs
    assert parts["ESCF"].macs / 1e9 > expected["escf_layers"] > 0.5 * parts["ESCF"].macs / 1e9
    assert parts["CRM"].macs > 0 and parts["output"].macs == 0 and all(part.bytes > 0 for part in parts.values())


@pytest.mark.parametrize("form", ["plain", "fast"])
@pytest.mark.parametrize(
    "changes", [("MODEL.HSM.ENABLED", False), ("MODEL.GUD.ENABLED", False), ("MODEL.ESCF.ENABLED", False)], ids=str
)
def test_ablations_have_parts_too(cfg, form, changes):
    cfg.merge_from_list(list(changes))
    job = make_job(Case("predict", form, "fp32", FORTY), cfg, build(cfg))
    seconds, parts = job.timed()
    assert list(parts) == ["input", "encoder", "CRM", "HSM", "ESCF", "GUD", "output"]
    assert sum(parts.values()) == pytest.approx(seconds, rel=0.2)


def test_marks_without_a_clock_take_no_reading(cfg):
    model = build(cfg)
    marks = Marks(model)
    with torch.no_grad():
        model.backbone(torch.zeros(1, 3, 64, 64))
    assert marks._readings == []


def test_work_of_single_operations():
    a, b = torch.ones(8, 16), torch.ones(16, 4)
    with WorkCounter() as counter:
        a.T.view(16, 8)  # views move nothing
        a @ b
    assert counter.total == (8 * 16 * 4, 4 * (8 * 16 + 16 * 4 + 8 * 4))
    q = torch.ones(2, 4, 8, 16)
    with WorkCounter() as counter:
        F.scaled_dot_product_attention(q, q, q)
    assert counter.total.macs == 2 * (2 * 4 * 8 * 8 * 16)
    x, weight = torch.ones(1, 6, 9, 9, requires_grad=True), torch.ones(6, 1, 3, 3, requires_grad=True)
    y = F.conv2d(x, weight, groups=6)
    with WorkCounter() as counter:
        y.sum().backward()
    assert counter.total.macs == 2 * (6 * 7 * 7 * 3 * 3)
    up = F.conv_transpose2d(x, torch.ones(6, 4, 2, 2, requires_grad=True), stride=2)
    with WorkCounter() as counter:
        up.sum().backward()
    assert counter.total.macs == 2 * (6 * 9 * 9 * 4 * 2 * 2)
    with WorkCounter() as counter:
        torch.ones(1).expand(1000) + 1
    assert counter.total.bytes < 2 * 4 * 1000


def test_rates_are_positive_and_finite(monkeypatch):
    monkeypatch.setattr("errseg.benchmark.work.REPEATS", 1)
    rates = measure_rates(torch.device("cpu"), "fp32")
    assert 1e8 < rates.macs < 1e15 and 1e7 < rates.bytes < 1e13


def test_stages_of_any_system_have_colours_of_their_own():
    parts = ["input", *(f"stage {i}" for i in range(9)), "output", "backward"]
    colours = colours_of(parts)
    assert list(colours) == parts and len(set(colours.values())) == len(parts)


def test_durations():
    assert [duration(x) for x in (None, 12.34, 1.0, 0.01234, 0.5, 2.5e-5)] == [
        "", "12.3 s", "1.00 s", "12.3 ms", "500 ms", "25.0 µs"
    ]  # fmt: skip
