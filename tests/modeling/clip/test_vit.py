"""ViT-CLIP as a dense encoder: a mask changes what a block sees, and nothing else."""

import pytest
import torch

from errseg.errors import UsageError
from errseg.modeling.clip import build_clip
from errseg.modeling.clip.vit import ViTEncoder

IMAGES = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))  # 2 x 3 patches
HIDDEN = 4  # a token that the others do not see


class Encoder(ViTEncoder):
    def forward(self, images, masks=None):
        return self.tokens(images, (), masks)[1]


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return Encoder(clip=build_clip("ViT-B-16")).eval()


def mask():
    hidden = torch.zeros(7, 7)
    hidden[:, HIDDEN] = -torch.inf
    hidden[HIDDEN, HIDDEN] = 0
    return hidden


@torch.no_grad()
def test_a_hidden_patch_does_not_reach_the_others(encoder):
    changed = IMAGES.clone()
    changed[:, :, 16:, :16] += 1  # the first patch of the second row: token 4
    masks = dict.fromkeys(range(12), mask())
    others = [token for token in range(7) if token != HIDDEN]
    before, after = encoder(IMAGES, masks), encoder(changed, masks)
    torch.testing.assert_close(after[:, others], before[:, others])
    assert not torch.allclose(after[:, HIDDEN], before[:, HIDDEN], atol=1e-3)
    assert not torch.allclose(encoder(changed)[:, others], encoder(IMAGES)[:, others], atol=1e-3)


@torch.no_grad()
def test_a_mask_of_zeros_changes_nothing(encoder):
    torch.testing.assert_close(encoder(IMAGES, {11: torch.zeros(7, 7)}), encoder(IMAGES), atol=1e-5, rtol=1e-4)


def test_a_mask_of_truth_values_is_refused(encoder):
    with pytest.raises(UsageError, match=r"masks: the mask of block 3 is of torch.bool; give 0 and -inf"):
        encoder(IMAGES, {3: torch.zeros(7, 7, dtype=torch.bool)})
