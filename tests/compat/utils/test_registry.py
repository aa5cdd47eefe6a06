"""A registry: named entries, and messages about missing ones."""

import pytest
from detectron2.utils.registry import Registry


def test_registry():
    registry = Registry("THINGS")

    @registry.register()
    class Thing:
        pass

    assert registry.get("Thing") is Thing and "Thing" in registry
    with pytest.raises(KeyError, match="Other.*THINGS"):
        registry.get("Other")
    with pytest.raises(AssertionError):
        registry.register(Thing)
