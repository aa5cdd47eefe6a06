from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from errseg.errors import UsageError
from errseg.modeling import ConvNeXtCLIP, ViTCLIP
from errseg.modeling.clip.build import build_clip, load_clip_weights
from errseg.modeling.clip.policies import FROZEN
from errseg.modeling.err_seg.stage4 import POLICY

DATA = Path(__file__).parents[2] / "data"
IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def convnext(**options):
    torch.manual_seed(0)
    return ConvNeXtCLIP(clip=build_clip(str(DATA / "tiny_clip.json")), **{"policy": POLICY, **options}).eval()


@pytest.mark.parametrize("hierarchical", [True, False])
def test_maps_have_the_shapes_that_output_shape_tells(hierarchical):
    encoder = convnext(hierarchical=hierarchical)
    shapes, outputs = encoder.output_shape(), encoder(IMAGES)
    assert set(outputs) == set(shapes) and ("E16" in shapes) == hierarchical
    for name, x in outputs.items():
        stride = shapes[name].stride
        assert x.shape == (2, shapes[name].channels, 64 // stride, 96 // stride), name


def test_pooled_dense_embedding_of_one_location_is_clips_image_embedding():
    """CLIP's own forward pools, then normalises and projects; on one location pooling is the identity."""
    encoder = convnext()
    torch.testing.assert_close(
        encoder(IMAGES[..., :32, :32])["E32"].flatten(1), encoder.clip.encode_image(IMAGES[..., :32, :32])
    )


def test_e16_is_stage_4_behind_a_size_keeping_downsample():
    encoder = convnext()
    trunk, maps = encoder.clip.visual.trunk, encoder(IMAGES)
    norm, conv = trunk.stages[3].downsample
    x = F.conv2d(F.pad(norm(maps["os16"]), (1, 1, 1, 1)), conv.weight, conv.bias)
    assert x.shape[-2:] == (5, 7)
    x = trunk.stages[3].blocks(F.interpolate(x, (4, 6), mode="bilinear", align_corners=False))
    torch.testing.assert_close(maps["E16"], encoder.dense_embedding(x))


def trained(encoder):
    return {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}


def test_fine_tuning_policy():
    both = trained(convnext())
    assert all(name.startswith("clip.") for name in both)
    image = {name for name in both if name.startswith("clip.visual.")}
    assert image and all(
        name.endswith(("gamma", "conv_dw.weight", "mlp.fc1.weight", "mlp.fc2.weight")) for name in image
    )
    text = both - image
    assert text and all(name.endswith(("attn.in_proj_weight", "mlp.c_fc.weight")) for name in text)
    assert trained(convnext(policy=POLICY.only(image=True, text=False))) == image
    assert trained(convnext(policy=POLICY.only(image=False, text=True))) == text
    frozen = convnext(policy=FROZEN)
    assert not trained(frozen) and not frozen.text_is_trained


@pytest.mark.parametrize(
    ("source", "through_e16", "through_e32"), [("both", True, True), ("E16", True, False), ("E32", False, True)]
)
def test_stage_4_gradient(source, through_e16, through_e32):
    encoder = convnext(stage4_gradient=source)
    for name, expected in (("E16", through_e16), ("E32", through_e32)):
        encoder.zero_grad()
        dense = encoder(IMAGES)[name]
        assert dense.requires_grad == expected
        if expected:
            dense.sum().backward()
            assert any(
                p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.clip.visual.trunk.stages[3].parameters()
            )


def test_unknown_gradient_source_is_an_error():
    with pytest.raises(ValueError, match="stage4_gradient = 'E8'"):
        convnext(stage4_gradient="E8")


def test_batch_norms_keep_clips_statistics_in_training():
    encoder = convnext()
    encoder.clip.visual.trunk.norm_pre = nn.BatchNorm2d(64)
    assert encoder.train().clip.visual.trunk.stages[0].training
    assert not encoder.clip.visual.trunk.norm_pre.training


def test_text_embeddings_have_unit_length():
    encoder = convnext()
    tokens = torch.randint(1, 1000, (3, 77))
    torch.testing.assert_close(encoder.encode_text(tokens).norm(dim=-1), torch.ones(3))


def test_vit_gives_clips_tokens():
    torch.manual_seed(0)
    encoder = ViTCLIP(clip=build_clip(str(DATA / "tiny_vit.json"))).eval()
    images = IMAGES[..., :64, :64]
    maps = encoder(images)
    for name, shape in encoder.output_shape().items():
        assert maps[name].shape == (2, shape.channels, 4, 4), name
    tokens = encoder.clip.visual.forward_intermediates(images, indices=3)["image_intermediates"]
    torch.testing.assert_close(maps["os16"], tokens[-1])
    torch.testing.assert_close(maps["os4"], tokens[0])


def test_vit_at_another_resolution():
    encoder = ViTCLIP(clip=build_clip(str(DATA / "tiny_vit.json"))).eval()
    assert encoder(IMAGES)["E16"].shape == (2, 32, 4, 6)


def test_vit_has_one_scale_and_patches_of_16(tiny_cfg):
    tiny_cfg.MODEL.CLIP.NAME = str(DATA / "tiny_vit.json")
    with pytest.raises(ValueError, match="MODEL.HSM.ENABLED"):
        ViTCLIP(tiny_cfg)
    with pytest.raises(ValueError, match="patches of 32 x 32 pixels"):
        ViTCLIP(clip=build_clip("ViT-B-32"))


@pytest.mark.parametrize(("backbone", "name"), [(ConvNeXtCLIP, "ViT-B-32"), (ConvNeXtCLIP, "RN50"), (ViTCLIP, "tiny")])
def test_an_encoder_of_another_kind_names_both_keys(backbone, name):
    clip = build_clip(str(DATA / "tiny_clip.json") if name == "tiny" else name)
    with pytest.raises(UsageError, match=f"MODEL.BACKBONE.NAME = '{backbone.__name__}'.*MODEL.CLIP.NAME"):
        backbone(clip=clip)


# ---- CLIP's weights ----


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_local_weights_load_and_start_the_second_downsample(suffix, tmp_path, tiny_cfg):
    from safetensors.torch import save_file

    clip = build_clip(tiny_cfg.MODEL.CLIP.NAME)
    path = str(tmp_path / f"clip{suffix}")
    (save_file if suffix == ".safetensors" else torch.save)(clip.state_dict(), path)
    tiny_cfg.MODEL.CLIP.PRETRAINED = path
    encoder = ConvNeXtCLIP(tiny_cfg)
    assert encoder.clip_source == path
    for name, value in encoder.clip.state_dict().items():
        assert torch.equal(value, clip.state_dict()[name])
    assert torch.equal(encoder.downsample16[2].weight, clip.visual.trunk.stages[3].downsample[1].weight)


def test_damaged_and_foreign_weights_name_the_file(tmp_path):
    clip = build_clip(str(DATA / "tiny_clip.json"))
    path = tmp_path / "clip.pt"
    torch.save(clip.state_dict(), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="clip.pt"):
        load_clip_weights(clip, "tiny", str(path))
    state = clip.state_dict()
    del state["ln_final.weight"]
    torch.save(state, path)
    with pytest.raises(ValueError, match="ln_final.weight"):
        load_clip_weights(clip, "tiny", str(path))


def test_pickled_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="evil.pt") as caught:
        load_clip_weights(build_clip(str(DATA / "tiny_clip.json")), "tiny", str(tmp_path / "evil.pt"))
    assert not (tmp_path / "ran").exists() and "safe_globals" not in str(caught.value)


def test_clip_weights_come_out_of_wrappers_and_are_looked_at(tmp_path):
    clip = build_clip(str(DATA / "tiny_clip.json"))
    weights = {name: torch.ones_like(value) for name, value in clip.state_dict().items()}
    weights["logit_scale"] = weights["logit_scale"].reshape(1)  # as open_clip writes it for some models
    path = tmp_path / "clip.pt"
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in weights.items()}}, path)
    assert load_clip_weights(clip, "tiny", str(path)) == str(path)
    assert all(torch.equal(value, weights[name].reshape(value.shape)) for name, value in clip.state_dict().items())
    for change, words in (
        ({"ln_final.weight": torch.full_like(weights["ln_final.weight"], torch.nan)}, "'ln_final.weight' has 32 of 32"),
        ({"ln_final.weight": weights["ln_final.weight"].to(torch.int8)}, "'ln_final.weight' is int8"),
        ({"ln_final.weight": torch.ones(3)}, "1 of another shape"),
    ):
        torch.save(weights | change, path)
        with pytest.raises(UsageError, match=f"MODEL.CLIP.PRETRAINED: .*clip.pt.*{words}"):
            load_clip_weights(clip, "tiny", str(path))
    path.write_text("<!DOCTYPE html><html>")
    with pytest.raises(UsageError, match="MODEL.CLIP.PRETRAINED: .*a web page"):
        load_clip_weights(clip, "tiny", str(path))


def test_wrong_names_name_the_key():
    with pytest.raises(ValueError, match="MODEL.CLIP.NAME = 'convnext_huge_w_0'"):
        build_clip("convnext_huge_w_0")
    with pytest.raises(UsageError, match="nowhere.json"):
        build_clip("nowhere.json")
    with pytest.raises(UsageError, match="MODEL.CLIP.PRETRAINED = 'no_such_tag'.*laion_aesthetic_s13b_b82k"):
        load_clip_weights(nn.Module(), "convnext_base_w_320", "no_such_tag")


def test_no_weights_is_said_to_be_random(tiny_cfg, caplog):
    import errseg

    with caplog.at_level("INFO"):
        errseg.build_model(tiny_cfg)
    assert "RANDOM" in caplog.text and "MODEL.CLIP.PRETRAINED is empty" in caplog.text
