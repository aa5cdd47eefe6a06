"""CLIP's image tower with positions and severance."""

import json

import pytest
import torch
import torch.nn.functional as F

from errseg.errors import UsageError
from errseg.modeling.clip import build_clip
from errseg.modeling.deop.image_tower import SeveredViTCLIP
from errseg.modeling.err_seg.vit import ViTCLIP
from tests.conftest import DATA

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
MASKS = torch.randn(2, 5, 16, 24, generator=torch.Generator().manual_seed(1)) * 4


@pytest.fixture
def tower():
    def make(**arguments):
        torch.manual_seed(0)
        return SeveredViTCLIP(clip=build_clip(str(DATA / "tiny_vit.json")), **arguments).eval()

    return make


@torch.no_grad()
def test_without_severance_and_positions_it_is_clip(tower):
    ours = tower(mode="none", blocks=(), grid=None, position_blocks=())
    visual = ours.clip.visual
    square = torch.randn(2, 3, 64, 64)
    visual.output_tokens = True
    pooled, tokens = visual(square)
    torch.testing.assert_close(ours.class_embedding(square), F.normalize(pooled, dim=-1), atol=1e-5, rtol=1e-4)
    dense = F.normalize(tokens @ visual.proj, dim=-1)
    torch.testing.assert_close(ours(square, torch.zeros(2, 1, 16, 16)).flatten(2).mT, dense, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mode", ["masked", "plain", "guided", "none"])
@pytest.mark.parametrize("blocks", [(2,), (0, 2), (1,)])
@torch.no_grad()
def test_every_mode_in_any_blocks(mode, blocks, tower):
    ours = tower(mode=mode, blocks=blocks, grid=3, position_blocks=(1, 2))
    dense = ours(IMAGES, MASKS)
    assert dense.shape == (2, 32, 4, 6)
    torch.testing.assert_close(dense.norm(dim=1), torch.ones(2, 4, 6))
    torch.testing.assert_close(ours(IMAGES[:1], MASKS[:1]), dense[:1], atol=1e-5, rtol=1e-4)
    none = tower(mode="none", blocks=(), grid=3, position_blocks=(1, 2))(IMAGES, MASKS)
    assert torch.allclose(dense, none, atol=1e-5) == (mode == "none")


@torch.no_grad()
def test_sever_changes_the_severance_alone(tower):
    ours = tower(mode="masked", blocks=(2,), grid=3, position_blocks=(1,))
    before = ours(IMAGES, MASKS)
    ours.sever("plain", (1, 2))
    plain = tower(mode="plain", blocks=(1, 2), grid=3, position_blocks=(1,))
    torch.testing.assert_close(ours(IMAGES, MASKS), plain(IMAGES, MASKS))
    ours.sever("masked", (2,))
    assert torch.equal(ours(IMAGES, MASKS), before)


def test_positions_get_gradients_through_the_frozen_tower(tower):
    ours = tower(mode="masked", blocks=(2,), grid=3, position_blocks=(1, 2)).train()
    ours(IMAGES, MASKS)[:, 0].sum().backward()
    trained = {name for name, p in ours.named_parameters() if p.requires_grad}
    assert trained == {"learned.input", "learned.blocks.1", "learned.blocks.2"}
    assert all(p.grad.abs().sum() > 0 for p in ours.learned.parameters())


def test_bad_arguments(tower):
    with pytest.raises(UsageError, match=r"blocks = \[11\]: the image tower has the blocks 0 to 2"):
        tower(position_blocks=(1,))
    with pytest.raises(UsageError, match="mode = 'hard'"):
        tower(mode="hard", blocks=(2,), position_blocks=(1,))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"block_type": "custom"}, "clip has blocks of its own kind"),
        ({"image_size": [64, 96]}, "clip has positions for 4 x 6 patches; it needs a square"),
        ({"patch_dropout": 0.5}, "clip has a dropout of patches"),
        ({"attentional_pool": True}, "clip has a pooling by attention"),
    ],
    ids=str,
)
def test_towers_that_would_silently_compute_something_else(tmp_path, changes, words):
    config = json.loads((DATA / "tiny_vit.json").read_text())
    config["vision_cfg"] |= changes
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(config))
    with pytest.raises(UsageError, match=words):
        SeveredViTCLIP(clip=build_clip(str(path)), blocks=(2,), grid=3, position_blocks=(1,))


def with_patches(tmp_path, side: int) -> torch.nn.Module:
    config = json.loads((DATA / "tiny_vit.json").read_text())
    config["vision_cfg"] |= {"patch_size": side, "image_size": 4 * side}
    path = tmp_path / f"patches_{side}.json"
    path.write_text(json.dumps(config))
    return build_clip(str(path))


def test_smaller_patches_give_a_finer_embedding(tmp_path):
    ours = SeveredViTCLIP(clip=with_patches(tmp_path, 8), blocks=(2,), grid=3, position_blocks=(1,)).eval()
    with torch.no_grad():
        assert ours(torch.zeros(1, 3, 64, 96), torch.zeros(1, 2, 16, 24)).shape[2:] == (8, 12)
    assert ours.output_shape()["dense"].stride == 8


def test_patches_that_the_padding_does_not_fit_are_refused(tmp_path):
    with pytest.raises(UsageError, match="patches of 12 x 12 pixels; it needs a ViT of 8 x 8 or 16 x 16 or 32 x 32"):
        SeveredViTCLIP(clip=with_patches(tmp_path, 12), blocks=(2,), grid=3, position_blocks=(1,))
    with pytest.raises(UsageError, match="patches of 8 x 8 pixels; it needs a ViT of 16 x 16"):  # ERR-Seg's decoder
        ViTCLIP(clip=with_patches(tmp_path, 8))
