"""The views of a test image: which rectangles, resized to what."""

from dataclasses import replace

import pytest

from errseg.modeling.views import View, Views


def test_the_papers_view_is_one_square():
    assert Views(640).of(300, 500) == [View((0, 300), (0, 500), (640, 640))]


def test_flips_and_scales():
    views = Views(100, scales=(1.0, 1.5), flip=True).of(50, 60)
    assert [(view.size, view.flipped) for view in views] == [
        ((100, 100), False),
        ((160, 160), False),
        ((100, 100), True),
        ((160, 160), True),
    ]


@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (100, 1000), (3, 2000)])
def test_keeping_the_aspect_keeps_the_area_and_fits_the_strides(height, width):
    [view] = Views(640, keep_aspect=True).of(height, width)
    assert view.size[0] % 32 == view.size[1] % 32 == 0 and min(view.size) >= 64
    assert view.size[0] * view.size[1] == pytest.approx(640 * 640, rel=0.1)
    if max(height, width) < 8 * min(height, width):
        assert view.size[0] / view.size[1] == pytest.approx(height / width, rel=0.1)


def test_windows_cover_the_image_and_overlap():
    views = Views(640, sliding_window=True).of(800, 1333)
    assert all(view.size == (640, 640) for view in views)
    assert {view.rows for view in views} == {(0, 640), (160, 800)}
    columns = sorted({view.cols for view in views})
    assert columns[0][0] == 0 and columns[-1][1] == 1333
    assert all(right - left == 640 for left, right in columns)
    assert all(a[1] - b[0] >= 640 / 3 - 1 for a, b in zip(columns, columns[1:], strict=False))


def test_a_window_larger_than_the_image_is_the_image():
    assert Views(640, sliding_window=True).of(300, 500) == [View((0, 300), (0, 500), (288, 512))]
    [*views] = Views(64, sliding_window=True, scales=(2.0,)).of(64, 20)
    assert [view.rows for view in views] == [(0, 32), (16, 48), (32, 64)]
    assert all(view.size == (64, 64) and view.cols == (0, 20) for view in views)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"resolution": 63}, "resolution = 63"),
        ({"scales": ()}, "scales = "),
        ({"scales": (1, 0)}, "scales = "),
        ({"scales": ("a",)}, "scales = "),
        ({"window_overlap": 1.0}, "window_overlap = 1.0"),
        ({"keep_aspect": True, "sliding_window": True}, "keep_aspect and sliding_window"),
    ],
)
def test_unsuitable_options_are_named(options, name):
    with pytest.raises(ValueError, match=name):
        Views(**{"resolution": 640, **options})


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("INPUT.RESOLUTION_TEST", 63, "INPUT.RESOLUTION_TEST = 63"),
        ("TEST.SCALES", (), "TEST.SCALES = "),
        ("TEST.WINDOW_OVERLAP", 1.0, "TEST.WINDOW_OVERLAP = 1.0"),
    ],
)
def test_a_configurations_message_names_the_key(key, value, named, tiny_cfg):
    tiny_cfg.merge_from_list([key, value])
    with pytest.raises(ValueError, match=named):
        Views.from_config(tiny_cfg)


def test_native_views_are_the_image_at_its_own_size():
    assert Views(640, native=True).of(301, 500) == [View((0, 301), (0, 500), (301, 500))]
    views = Views(640, native=True, scales=(1.0, 0.5), flip=True).of(301, 500)
    assert [(view.size, view.flipped) for view in views] == [
        ((301, 500), False),
        ((150, 250), False),
        ((301, 500), True),
        ((150, 250), True),
    ]
    assert Views(640, native=True, scales=(0.1,)).of(1, 30)[0].size == (1, 3)


def test_native_windows_are_cut_from_the_image_at_its_own_size():
    views = Views(64, native=True, sliding_window=True).of(50, 100)
    assert [(view.rows, view.cols, view.size) for view in views] == [
        ((0, 50), (0, 64), (50, 64)),
        ((0, 50), (36, 100), (50, 64)),
    ]
    [*doubled] = Views(64, native=True, sliding_window=True, scales=(2.0,)).of(30, 40)
    assert {view.size for view in doubled} == {(60, 64)} and doubled[-1].cols == (8, 40)


def test_a_system_says_that_its_views_are_native(tiny_cfg):
    assert Views.from_config(tiny_cfg, native=True) == replace(Views.from_config(tiny_cfg), native=True)
    tiny_cfg.TEST.KEEP_ASPECT = True
    with pytest.raises(ValueError, match="TEST.KEEP_ASPECT = True, but this system sees images at their own size"):
        Views.from_config(tiny_cfg, native=True)


@pytest.mark.parametrize("options", [{}, {"native": True}, {"keep_aspect": True}])
def test_the_whole_image_is_one_view(options):
    views = Views(640, scales=(0.5, 2.0), flip=True, **options)
    assert views.whole().of(300, 500) == Views(640, **options).of(300, 500)
    assert Views(64, sliding_window=True).whole().of(300, 500) == Views(64).of(300, 500)


def test_windows_of_a_canvas_and_the_whole_image():
    """CAT-Seg's views: four windows of the image as 640 x 640, and the whole image in a layer of its own."""
    views = Views(384, sliding_window=True, window_overlap=0.333, native=True, window_canvas=640, window_whole=True)
    *windows, whole = views.of(300, 500)
    assert [(view.rows, view.cols) for view in windows] == [
        ((top, top + 384), (left, left + 384)) for top in (0, 256) for left in (0, 256)
    ]
    assert all(view.size == (384, 384) and view.canvas == (640, 640) and view.is_cut for view in windows)
    assert whole == View((0, 640), (0, 640), (384, 384), canvas=(640, 640), layer=1) and not whole.is_cut
    assert views.of(1, 2000)[:4] == windows and [view.layer for view in replace(views, flip=True).of(9, 9)[5:]] == [
        *(0, 0, 0, 0, 1)
    ]
    with pytest.raises(ValueError, match="window_canvas = 383 is smaller than the windows"):
        replace(views, window_canvas=383)
