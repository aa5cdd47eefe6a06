"""errseg benchmark: rows, tables, the paper's tables, a checkpoint, and what it refuses."""

import json
from functools import cache, partial

import pytest
import torch
from PIL import Image

from errseg.benchmark import measure
from errseg.benchmark.inputs import scene
from errseg.benchmark.macs import count_macs, count_text_macs
from errseg.benchmark.models import build
from errseg.benchmark.names import MADE_UP_NUM_CLASSES, made_up_names, name_list
from errseg.benchmark.work import Rates
from errseg.errors import UsageError
from tests.conftest import TINY_SYSTEMS

KEYS = {
    "kind", "form", "compiled", "encodes_names", "vocabulary", "num_names", "num_classes_kept", "precision", "batch",
    "resolution", "latency_s", "latency_min_s", "latency_max_s", "repeats", "images_per_second", "ratio",
    "latency_over_smallest", "gmacs", "escf_gmacs", "decoder_gmacs", "auto_threshold", "peak_memory_mb",
    "agreement", "agreement_with", "set_vocabulary_s", "parts_s", "floor_macs_s", "floor_bytes_s", "floor_parts_s",
    "device", "device_name", "threads", "torch",
}  # fmt: skip
PARTS = ["input", "encoder", "CRM", "HSM", "ESCF", "GUD", "output"]


def by(rows, **wanted):
    """The one row of these values."""
    [row] = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return row


def table_cells(text):
    """The cells of the Markdown tables in a text, line by line."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


def test_rows_are_complete(benchmark_tool, no_children, cfg, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(measure, "measure_rates", lambda *_: Rates(1e12, 1e12))
    expected_macs, chart = cache(partial(count_macs, cfg)), tmp_path / "chart.png"
    status, rows, out, _ = benchmark_tool(
        "--vocabulary", "random:40,random:12", "--num-classes", 6, "--precision", "fp32,bf16", "--form", "both",
        "--batch", "1,2", "--floor", "--chart", chart,
    )  # fmt: skip
    assert status == 0 and len(rows) == 12
    for row in rows:
        assert set(row) - {"tera_macs_per_s", "gigabytes_per_s"} == KEYS
        assert row["kind"] == "predict" and row["num_classes_kept"] == 6 and row["repeats"] == 2
        assert list(row["parts_s"]) == PARTS
        assert row["latency_min_s"] <= row["latency_s"] <= row["latency_max_s"]
        assert sum(row["parts_s"].values()) == pytest.approx(row["latency_s"], rel=0.3)
        assert row["images_per_second"] == pytest.approx(row["batch"] / row["latency_s"])
        macs = expected_macs(row["num_names"], 6, row["form"])
        assert (row["gmacs"], row["escf_gmacs"]) == (macs["total"], macs["escf_layers"])
        assert 0 < row["floor_macs_s"] < row["latency_s"]
        same = {"vocabulary": row["vocabulary"], "batch": row["batch"]}
        plain = by(rows, form="plain", **same)
        assert row["ratio"] == pytest.approx(plain["latency_s"] / row["latency_s"])
        assert plain["agreement"] is None and plain["peak_memory_mb"] == 3000
        assert by(rows, form="fast", precision="fp32", **same)["agreement"] > 0.995
        assert by(rows, form="fast", precision="bf16", **same)["agreement"] > 0.3
        if row["form"] == "fast":
            assert row["agreement_with"] == f"plain fp32, {row['vocabulary']}, batch {row['batch']}"
        smaller = by(rows, **{key: row[key] for key in ("form", "precision", "batch")}, vocabulary="random:12")
        expected = None if row is smaller else pytest.approx(row["latency_s"] / smaller["latency_s"])
        assert row["latency_over_smallest"] == expected
    assert "| random:40" in out and "times faster" in out and "900 MB" in out and "bandwidth" in out
    assert "run 2 of 2: fast bf16, random:12, batch 2" in caplog.text and "run 2 of 2" not in out
    with Image.open(chart) as image:
        assert image.size[0] > 1000


def test_a_k_that_fits_the_image_and_the_curve_over_k(benchmark_tool, cfg, no_children, tmp_path):
    chart = tmp_path / "kept.png"
    options = ["--vocabulary", "random:12", "--num-classes", "2,8,auto", "--form", "fast", "--kept-chart", chart]
    status, rows, out, _ = benchmark_tool(*options, "MODEL.CRM.AUTO_THRESHOLD", "0.2")
    assert status == 0 and [row["auto_threshold"] for row in rows] == [None, None, 0.2]
    kept = [row["num_classes_kept"] for row in rows]
    assert kept[:2] == [2, 8] and 1 <= kept[2] <= 5 and f"| auto: {kept[2]} |" in " ".join(out.split())
    macs = [count_macs(cfg, 12, each) for each in kept]
    assert [row["gmacs"] for row in rows] == [each["total"] for each in macs]
    assert rows[0]["decoder_gmacs"] < rows[1]["decoder_gmacs"] < macs[1]["total"]
    encoder = [each["total"] - each["decoder"] for each in macs]
    assert encoder == pytest.approx([encoder[0]] * 3)
    with Image.open(chart) as image:
        assert image.size[0] > 900


def test_training_step(benchmark_tool, no_children):
    _, rows, out, _ = benchmark_tool("--train", "--batch", 2, "--vocabulary", "random:40", "--precision", "fp32,bf16")
    assert [(row["form"], row["precision"]) for row in rows] == [
        ("plain", "fp32"), ("plain", "bf16"), ("fast", "fp32"), ("fast", "bf16")
    ]  # fmt: skip
    for row in rows:
        assert row["kind"] == "train" and row["num_classes_kept"] == 4 and row["agreement"] is None
        assert list(row["parts_s"]) == ["text", "encoder", "CRM", "HSM", "ESCF", "GUD", "loss", "backward", "optimizer"]
        assert row["ratio"] == pytest.approx(rows[0]["latency_s"] / row["latency_s"])
    assert rows[0]["gmacs"] > 1.5 * rows[2]["gmacs"] > 0  # 16 positions against five or six of a short prompt
    assert out.startswith("One training step; 64 × 64")


def test_encoding_names(benchmark_tool, no_children):
    _, rows, out, _ = benchmark_tool("--set-vocabulary", "--vocabulary", "voc_20,random:100")
    assert [(row["form"], row["num_names"]) for row in rows] == [
        ("plain", 20), ("fast", 20), ("plain", 100), ("fast", 100)
    ]  # fmt: skip
    for plain, fast in (rows[:2], rows[2:]):
        assert fast["kind"] == "set_vocabulary"
        assert fast["ratio"] == pytest.approx(plain["latency_s"] / fast["latency_s"])
        assert plain["gmacs"] > 1.5 * fast["gmacs"]
    assert "images/s" not in out and "agreement" not in out


DEOP_PARTS = ["proposal backbone", "pixel decoder", "proposals", "CLIP image tower", "anchors", "classes", "output"]


def test_another_system_and_its_names(command, tmp_path, tiny_cfg):
    """DeOP in both forms and bfloat16, and as its authors run it: with the names encoded for every image."""
    keys = ["MODEL.META_ARCHITECTURE", "DeOP", *TINY_SYSTEMS["DeOP"]]
    tiny_cfg.merge_from_list(keys)
    (tmp_path / "deop.yaml").write_text(tiny_cfg.dump())
    options = ("--vocabulary", "random:12", "--precision", "fp32,bf16", "--encode-names", "--no-memory", "--repeats", 1)
    out = tmp_path / "out.json"
    status, printed, errors = command("benchmark", "--config", tmp_path / "deop.yaml", *options, "--json", out)
    assert status == 0, errors
    rows = json.loads(out.read_text())
    assert [(row["form"], row["precision"], row["encodes_names"]) for row in rows] == [
        ("plain", "fp32", False), ("fast", "fp32", False), ("fast", "bf16", False), ("plain", "fp32", True)
    ]  # fmt: skip
    for row in rows:
        first = "text" if row["encodes_names"] else "input"
        assert list(row["parts_s"]) == [first, *DEOP_PARTS] and row["num_classes_kept"] == 12
        assert row["ratio"] == pytest.approx(rows[0]["latency_s"] / row["latency_s"])
    plain, fast, _, anew = rows
    assert fast["agreement"] > 0.995 and fast["gmacs"] < plain["gmacs"]
    assert anew["agreement"] is None and anew["set_vocabulary_s"] is None
    text = count_text_macs(tiny_cfg, made_up_names(12), "plain")
    assert text > 0.01 and anew["gmacs"] == pytest.approx(plain["gmacs"] + text)
    assert "| plain, encoding the names |" in printed


def test_a_checkpoint_names_its_classes_and_pictures_count(benchmark_tool, no_children, cfg, tmp_path):
    torch.manual_seed(1)
    model = build(cfg)
    torch.nn.init.normal_(model.sem_seg_head.gud.head.weight)
    torch.save({"model": model.state_dict()}, tmp_path / "weights.pth")
    for seed in range(3):
        Image.fromarray(scene(48 + 8 * seed, seed)[0].permute(1, 2, 0).numpy()).save(tmp_path / f"{seed}.png")
    pictures = sorted(tmp_path.glob("?.png"))
    _, rows, out, _ = benchmark_tool(
        "--vocabulary", "mini_seen_sem_seg", "--weights", tmp_path / "weights.pth", "--batch", 2, "--image", *pictures
    )
    assert [row["num_classes_kept"] for row in rows] == [24, 24]
    assert all(row["set_vocabulary_s"] > 0 for row in rows) and rows[1]["agreement"] > 0.995
    assert "encoding" in out


def test_paper_table_3(benchmark_tool, no_children):
    _, rows, out, _ = benchmark_tool("--paper-table", 3, "--precision", "fp32,bf16")
    kept = [(row["vocabulary"], row["num_classes_kept"]) for row in rows[::3]]
    assert kept == [("ade20k_847", 48), ("ade20k_150", 32)]
    cells = {name: rest for name, *rest in table_cells(out[out.index("Table III") :])}
    assert cells["ERR-Seg (paper)"] == ["114 ms", "348", "13.9", "85 ms", "288", "35.8"]
    assert cells["CAT-Seg (paper)"] == ["552 ms", "2154", "12.0", "369 ms", "1516", "31.8"]
    ours = by(rows, form="fast", precision="bf16", vocabulary="ade20k_847")
    assert cells["errseg, fast bf16"][1] == f"{ours['gmacs']:.1f}" and cells["errseg, fast bf16"][0].endswith("ms")


def test_paper_table_10(benchmark_tool, no_children):
    _, rows, out, _ = benchmark_tool("--paper-table", 10)
    macs = {(row["ssr"], row["csr"]): row["escf_gmacs"] for row in rows if row["form"] == "plain"}
    assert len(set(macs.values())) == 4  # SSR alone needs larger maps than these to gain
    assert macs[True, True] < macs[True, False] and macs[False, True] < macs[False, False]
    lines = table_cells(out)
    assert [line[4] for line in lines[2:]] == ["188.1", "188.1", "134.6", "134.6", "148.9", "148.9", "95.3", "95.3"]
    assert [line[:2] for line in lines[2::2]] == [["", ""], ["✓", ""], ["", "✓"], ["✓", "✓"]]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--vocabulary", "ade"], "'ade'; give one of ade20k_150"),
        (["--vocabulary", "random:0"], "random:N"),
        (["--device", "tpu"], "give cpu or cuda"),
        (["--precision", "fp32,int8"], "'int8'; give fp32, bf16, fp16"),
        (["--form", "plain", "--precision", "bf16"], "--form both"),
        (["--train", "--precision", "fp16"], "loss scaling"),
        (["--set-vocabulary", "--precision", "bf16"], "text tower stays in float32"),
        (["--compile", "--form", "plain"], "--compile is for predictions of the fast form"),
        (["--encode-names", "--form", "fast"], "--encode-names is for predictions of the plain form"),
        (["--encode-names", "--set-vocabulary"], "--encode-names is for predictions of the plain form"),
        (["--compile", "fastest"], "default, reduce-overhead, max-autotune"),
        (["--batch", "1,0"], "--batch has 0"),
        (["--kept-chart", "a.png", "--num-classes", "4"], "several K of one --vocabulary"),
        (["--repeats", "0"], "--repeats is 0"),
        (["--num-classes", "0"], "--num-classes is 0"),
        (["--num-classes", "many"], "'many' is neither a whole number nor auto"),
        (["--num-classes", "auto", "--form", "fast", "--compile"], "--compile needs one K for all images"),
        (["--paper-table", "3", "--vocabulary", "voc_20"], "has its own vocabularies"),
        (["--weights", "gone.pth"], "There is no file gone.pth"),
        (["--image", "gone.png"], "There is no file gone.png"),
        (["MODEL.NOTHING", "1"], "no configuration key MODEL.NOTHING"),
    ],
)
def test_refuses_in_one_sentence(benchmark_tool, options, sentence):
    status, rows, out, err = benchmark_tool(*options)
    assert status == 2 and rows is None and out == ""
    assert sentence in err and err.count("\n") == 1 and err.startswith("errseg benchmark: ")


def test_refuses_the_plain_form_of_too_many_names(benchmark_tool, monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}[name])
    status, _, _, err = benchmark_tool("--vocabulary", "random:300")
    assert status == 2 and "300 names (random:300)" in err and "measure that vocabulary with --form fast" in err


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_says_that_there_is_no_gpu(benchmark_tool):
    status, _, _, err = benchmark_tool("--device", "cuda")
    assert (
        status == 2 and err == "errseg benchmark: --device cuda needs a GPU, and torch sees none; give --device cpu.\n"
    )


def test_names():
    assert (len(name_list("ade20k_847").names), name_list("ade20k_847").num_classes) == (847, 48)
    assert name_list("ade20k_847", 7).num_classes == 7
    assert name_list("mini_large_sem_seg").num_classes == 32
    made_up = name_list("random:2000")
    assert len(set(made_up.names)) == 2000 and made_up.num_classes == MADE_UP_NUM_CLASSES
    assert list(made_up.names[:5]) == made_up_names(5)
    with pytest.raises(UsageError, match="registered data set"):
        name_list("coco_2014")
