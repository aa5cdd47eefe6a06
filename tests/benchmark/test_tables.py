"""The tables of a benchmark, and the sentences beside them."""

from errseg.benchmark.tables import compiled_notes


def row(seconds, compiled=None, device="cpu", **more):
    return {"form": "fast", "vocabulary": "A-150", "precision": "fp32", "batch": 1, "kind": "predict"} | {
        "latency_s": seconds, "compiled": compiled, "device": device, **more
    }  # fmt: skip


def test_a_compiled_model_that_is_slower_on_the_cpu_is_said_to_be():
    (note,) = compiled_notes([row(8.7), row(9.7, "default")])
    assert note.startswith("A-150, fp32: compiled, the model is 1.11 times slower here: ") and note.endswith("the CPU.")


def test_no_sentence_where_it_is_faster_or_not_comparable():
    assert compiled_notes([row(8.7), row(8.0, "default")]) == []
    assert compiled_notes([row(8.7, device="cuda"), row(9.7, "default", "cuda")]) == []
    assert compiled_notes([row(8.7, precision="bf16"), row(9.7, "default")]) == []
    assert compiled_notes([row(8.7), row(None, "default")]) == []
