"""Sets of templates, by name."""

from errseg.modeling.clip.templates import template_sets, templates_of


def test_the_sets_have_the_published_sizes_and_one_place_for_a_name():
    assert {name: len(templates) for name, templates in template_sets().items()} == {"imagenet": 80, "vild": 14}
    assert all(template.count("{}") == 1 for templates in template_sets().values() for template in templates)
    assert all(len(set(templates)) == len(templates) for templates in template_sets().values())


def test_a_name_stands_for_its_templates():
    assert templates_of("a {}") == ["a {}"] and templates_of(("a {}", "the {}")) == ["a {}", "the {}"]
    assert templates_of(("a {}", "vild")) == ["a {}", *template_sets()["vild"]]
