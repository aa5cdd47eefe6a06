"""What an inspection shows of SED."""

import torch

from errseg.api import Segmenter
from errseg.inspection import inspect
from tests.conftest import NAMES


def test_the_cost_map_is_the_mean_over_the_templates(sed, tiny_cfg, make_batch):
    model, image = sed("INPUT.MIN_SIZE_TEST", 0), make_batch(1)[0]["image"]
    segmenter = Segmenter(model, tiny_cfg)
    segmenter.set_vocabulary(["cat", "grass"])
    inspection = inspect(segmenter, image.permute(1, 2, 0).numpy())
    with torch.no_grad():
        dense, text = model.dense_embedding(image), model.text_embeddings
    expected = torch.einsum("dhw,tpd->tphw", dense, text).mean(1)
    assert list(inspection.cost) == ["E32"] and len(NAMES) > len(text) == 2
    torch.testing.assert_close(torch.from_numpy(inspection.cost["E32"]), expected, atol=1e-5, rtol=1e-4)


def test_similarity_of_the_python_interface_has_one_map_for_each_name(sed, tiny_cfg, make_batch):
    segmenter = Segmenter(sed(), tiny_cfg)
    image = make_batch(1)[0]["image"].permute(1, 2, 0).numpy()
    similarity, text = segmenter.similarity(image, ["cat", "sky, heaven"]), segmenter.embed_text(["cat", "sky, heaven"])
    assert similarity.shape == (2, 2, 2) and text.shape == (2, segmenter.model.backbone.embed_dim)
    torch.testing.assert_close(text.norm(dim=-1), torch.ones(2))


def test_what_guides_the_upsampling(sed, tiny_cfg, make_batch):
    image = make_batch(1)[0]["image"].permute(1, 2, 0).numpy()
    for changes, expected in (
        ((), {"os16": (8, 4, 4), "os8": (4, 8, 8), "os4": (2, 16, 16)}),
        (("MODEL.FUSION.FEATURE_GUIDANCE", False), None),
    ):
        segmenter = Segmenter(sed("INPUT.MIN_SIZE_TEST", 0, *changes), tiny_cfg)
        segmenter.set_vocabulary(["cat", "grass"])
        guidance = inspect(segmenter, image).guidance
        assert (guidance and {name: x.shape for name, x in guidance.decoder.items()}) == expected
