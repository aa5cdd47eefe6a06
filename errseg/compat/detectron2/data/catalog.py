"""Data sets and their metadata, by name."""

import types
from collections import UserDict
from collections.abc import Callable
from typing import Any

import numpy as np

from ..outside import outside

__getattr__ = outside(globals())


class _Catalog(UserDict):
    def list(self) -> list[str]:
        """The names."""
        return list(self)

    def remove(self, name: str) -> None:
        """Forget ``name``."""
        self.pop(name)


class _DatasetCatalog(_Catalog):
    """From a name to a function that returns the data set's records."""

    def register(self, name: str, func: Callable[[], list[dict]]) -> None:
        """Register ``func``, which returns the same records at each call."""
        if name in self:
            raise AssertionError(f"Dataset '{name}' is already registered: choose another name, or remove it first.")
        self[name] = func

    def get(self, name: str) -> list[dict]:
        """Call the function of ``name`` and return the records."""
        if name not in self:
            raise KeyError(f"Dataset '{name}' is not registered! Available datasets are: {', '.join(self) or 'none'}")
        return self[name]()


class Metadata(types.SimpleNamespace):
    """Attributes of one data set. An attribute cannot be set to another value later."""

    def __getattr__(self, key: str) -> Any:  # only where normal look-up fails
        known = ", ".join(k for k in vars(self) if k != "name") or "none"
        raise AttributeError(
            f"Attribute '{key}' does not exist in the metadata of dataset '{vars(self).get('name')}' (it has: {known})."
        )

    def __setattr__(self, key: str, value: Any) -> None:
        old = vars(self).setdefault(key, value)
        if old is not value and not np.array_equal(old, value):  # a palette is an array
            raise AssertionError(
                f"Attribute '{key}' in the metadata of '{vars(self).get('name')}' cannot be set to a different value: "
                f"it is {old!r}, not {value!r}."
            )

    def set(self, **kwargs: Any) -> "Metadata":
        """Set several attributes and return self."""
        for key, value in kwargs.items():
            setattr(self, key, value)
        return self

    def get(self, key: str, default: Any = None) -> Any:
        """The attribute, or ``default``."""
        return vars(self).get(key, default)


class _MetadataCatalog(_Catalog):
    """From a name to its ``Metadata``, which is created by the first ``get``."""

    def get(self, name: str) -> Metadata:
        """The metadata of ``name``."""
        return self.setdefault(name, Metadata(name=name))


DatasetCatalog = _DatasetCatalog()
MetadataCatalog = _MetadataCatalog()
