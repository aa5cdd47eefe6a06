"""Digests of weights."""

import hashlib

import torch

from errseg.evaluation.provenance import file_digest, state_digest


def test_a_file_has_the_digest_that_sha256sum_prints(tmp_path):
    content = bytes(range(256)) * 9000  # more than one block
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_state_is_known_by_names_types_shapes_and_values():
    state = {
        "a": torch.arange(6.0).reshape(2, 3),
        "n": torch.tensor(3),
        "h": torch.ones(2, dtype=torch.bfloat16),
        "none": torch.empty(0),
    }
    digest = state_digest(state.items())
    assert digest == state_digest(reversed(state.items()))
    assert digest == state_digest({**state, "a": state["a"].t().contiguous().t()}.items())  # another layout
    for change in (
        {"a": state["a"] + 1e-3},
        {"a": state["a"].reshape(3, 2)},
        {"a": state["a"].double()},
        {"n": torch.tensor(4)},
        {"b": torch.zeros(1)},
    ):
        assert digest != state_digest({**state, **change}.items())
