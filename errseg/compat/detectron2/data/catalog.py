"""Data sets and what is known of them, by name."""

import types
from collections import UserDict
from collections.abc import Callable
from typing import Any

__all__ = ["DatasetCatalog", "Metadata", "MetadataCatalog"]


class _DatasetCatalog(UserDict):
    """From a name to a function that returns the data set's records."""

    def register(self, name: str, func: Callable[[], list[dict]]) -> None:
        """Register ``func``, which returns the same records at each call."""
        if not callable(func):
            raise AssertionError(f"Dataset '{name}' must be registered with a function, got {func!r}.")
        if name in self:
            raise AssertionError(f"Dataset '{name}' is already registered: choose another name, or remove it first.")
        self[name] = func

    def get(self, name: str) -> list[dict]:
        """Call the function of ``name`` and return the records."""
        if name not in self:
            raise KeyError(f"Dataset '{name}' is not registered! Available datasets are: {', '.join(self) or 'none'}")
        return self[name]()

    def list(self) -> list[str]:
        """Names of the registered data sets."""
        return list(self)

    def remove(self, name: str) -> None:
        """Forget ``name``."""
        self.pop(name)

    def __repr__(self) -> str:
        return f"DatasetCatalog(registered datasets: {', '.join(self)})"


class Metadata(types.SimpleNamespace):
    """Attributes of one data set. One that is set keeps its value."""

    def __getattr__(self, key: str) -> Any:  # only where normal look-up fails
        known = ", ".join(k for k in vars(self) if k != "name") or "none"
        raise AttributeError(
            f"Attribute '{key}' does not exist in the metadata of dataset '{vars(self).get('name')}' (it has: {known})."
        )

    def __setattr__(self, key: str, value: Any) -> None:
        old = vars(self).setdefault(key, value)
        if old != value:
            raise AssertionError(
                f"Attribute '{key}' in the metadata of '{vars(self).get('name')}' cannot be set to a different value: "
                f"it is {old!r}, not {value!r}."
            )

    def as_dict(self) -> dict[str, Any]:
        """A copy as a dictionary."""
        return dict(vars(self))

    def set(self, **kwargs: Any) -> "Metadata":
        """Set several attributes and return self."""
        for key, value in kwargs.items():
            setattr(self, key, value)
        return self

    def get(self, key: str, default: Any = None) -> Any:
        """The attribute, or ``default``."""
        return vars(self).get(key, default)


class _MetadataCatalog(UserDict):
    """From a name to its ``Metadata``, which is created at the first look."""

    def get(self, name: str) -> Metadata:
        """The metadata of ``name``."""
        if not name:
            raise AssertionError("The metadata of a data set without a name was asked for: give its name.")
        if name not in self:
            self[name] = Metadata(name=name)
        return self[name]

    def list(self) -> list[str]:
        """Names that have metadata."""
        return list(self)

    def remove(self, name: str) -> None:
        """Forget ``name``."""
        self.pop(name)

    def __repr__(self) -> str:
        return f"MetadataCatalog(registered metadata: {', '.join(self)})"


DatasetCatalog = _DatasetCatalog()
MetadataCatalog = _MetadataCatalog()
