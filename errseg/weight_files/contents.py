"""Check what the pickle in a torch file would build: only tensors and plain values pass; other objects are named."""

from collections.abc import Mapping
from typing import Any

from errseg.pickled import Call, Name, Persistent, walk

from .errors import NotWeights

__all__ = ["check_contents", "place_of", "storages_of"]

ITEM_BYTES = {  # of the storages of torch
    f"{kind}Storage": size
    for size, kinds in (
        (1, ("Untyped", "Byte", "Char", "Bool", "QInt8", "QUInt8")),
        (2, ("Half", "BFloat16", "Short")),
        (4, ("Float", "Int", "QInt32")),
        (8, ("Double", "Long", "ComplexFloat")),
        (16, ("ComplexDouble",)),
    )
    for kind in kinds
}
TENSORS = tuple(f"torch._utils._rebuild_tensor{version}" for version in ("", "_v2", "_v3"))
PARAMETER = "torch._utils._rebuild_parameter"
VALUES = {"torch.Size", "torch.device", "torch.serialization._get_layout", "_codecs.encode"} | {
    f"{module}.{kind}" for module in ("builtins", "__builtin__") for kind in ("set", "bytearray", "complex")
}
ACTING = ("os", "posix", "nt", "sys", "subprocess", "builtins", "__builtin__", "shutil", "socket", "runpy", "importlib")
CODECS = ("latin1", "latin-1", "utf-8", "utf8", "ascii")
KNOWN = {  # other objects, in the user's words
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_qtensor": "a quantized tensor",
    "torch._utils._rebuild_nested_tensor": "a nested tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor without values (of the meta device)",
    **{f"numpy.{core}.multiarray.scalar": "a numpy scalar" for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": "a numpy array" for core in ("core", "_core")},
}


def check_contents(tree: Any, path: str) -> None:
    """Refuse an object that is neither a tensor nor a plain value; the message has its place in the file and a remedy.

    Args:
        tree: what ``errseg.pickled.trace`` returned.
        path: of the file.

    Raises:
        NotWeights: there is such an object.
    """
    for where, node in walk(tree):
        what = _foreign(node)
        if what is not None:
            raise NotWeights(f"holds {what} {place_of(where)}; {_conversion(tree, where, node, path)}")


def storages_of(tree: Any) -> Mapping[str, tuple[int, tuple[Any, ...]]]:
    """For each storage that tensors use, by its key: its number of bytes, and the place of the first of these tensors.

    Raises:
        NotWeights: the file describes one storage in two ways.
    """
    storages: dict[str, tuple[int, tuple[Any, ...]]] = {}
    for where, node in walk(tree):
        persistent = _tensor(node).args[0] if _is_tensor(node) else node
        if not isinstance(persistent, Persistent):
            continue
        kind = persistent.id[1].name.rpartition(".")[2]
        key, count = persistent.id[2], persistent.id[4]
        size = ITEM_BYTES[kind] * count
        if storages.setdefault(key, (size, where))[0] != size:
            raise NotWeights(f"is damaged: it describes the values {place_of(where)} in two ways; get it again")
    return storages


def place_of(where: tuple[Any, ...]) -> str:
    """A place in the file, for messages."""
    return f"at {'.'.join(map(str, where))[:200]!r}" if where else "in place of a state dict"


def _is_tensor(node: Any) -> bool:
    return isinstance(node, Call) and (node.name in TENSORS or node.name == PARAMETER)


def _tensor(node: Call) -> Call:
    """The tensor in a parameter, or the tensor itself."""
    return node.args[0] if node.name == PARAMETER else node


def _foreign(node: Any) -> str | None:
    """What a node is that ``weights_only`` would refuse or that no state dict has; None for all other nodes."""
    if isinstance(node, Persistent):
        return None if _is_storage(node) else "an object from outside the file"
    if isinstance(node, Name):
        is_type = node.name.startswith("torch.") and node.name.count(".") == 1 and node.name.islower()
        return None if is_type else f"the function or class {node.name[:100]}"
    if not isinstance(node, Call):
        return None
    if _is_tensor(node):
        tensor = _tensor(node) if node.args else None
        whole = isinstance(tensor, Call) and tensor.name in TENSORS and tensor.args and _is_storage(tensor.args[0])
        return None if whole and node.state is None and not node.items else "a damaged tensor"
    if node.name in VALUES:
        is_text = node.name != "_codecs.encode" or (len(node.args) == 2 and node.args[1] in CODECS)
        return None if is_text and node.state is None and not node.items else f"an unusual {node.name}"
    return KNOWN.get(node.name, f"an object of {node.name[:100]}")


def _is_storage(node: Any) -> bool:
    """Whether this is a storage as torch describes it: ("storage", type, key, device, number of elements, ...)."""
    if not isinstance(node, Persistent) or not isinstance(node.id, tuple) or len(node.id) not in (5, 6):
        return False
    word, kind, key, _, count = node.id[:5]
    return (
        word == "storage"
        and isinstance(kind, Name)
        and kind.name.startswith("torch.")
        and kind.name.rpartition(".")[2] in ITEM_BYTES
        and isinstance(key, str)
        and isinstance(count, int)
        and count >= 0
    )


def _conversion(tree: Any, where: tuple[Any, ...], node: Any, path: str) -> str:
    """How to make a file of plain tensors."""
    name = getattr(node, "name", "")
    if name.partition(".")[0] in ACTING:
        return "it would act on this machine and is not loaded: get another file"
    if name.startswith("torch._utils._rebuild_") and name in KNOWN:
        return "write dense tensors of floats in its place, with torch.save"
    advice = "if you trust its source, write the weights alone, in Python: "
    read = f"torch.load({path!r}, map_location='cpu', weights_only=False)"
    key = where[0] if where else None
    top = tree if isinstance(tree, dict) else {}
    others = [other for other, value in top.items() if _has_tensors(value) and other != key]
    if others:
        return f"{advice}torch.save({read}[{others[0]!r}], 'weights.pth')"
    if len(where) < 2 and name not in KNOWN:  # a whole module was pickled
        chosen = f"{read}[{key!r}]" if where else read
        return f"{advice}torch.save({chosen}.state_dict(), 'weights.pth')"
    chosen = f"{read}[{key!r}]" if len(where) > 1 else read
    return f"{advice}torch.save({{k: torch.as_tensor(v) for k, v in {chosen}.items()}}, 'weights.pth')"


def _has_tensors(value: Any) -> bool:
    return isinstance(value, dict) and any(_is_tensor(inner) for inner in value.values())
