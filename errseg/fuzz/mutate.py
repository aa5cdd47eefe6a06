"""Changes to bytes and to trees of plain data."""

import copy
import pickle
from pathlib import Path
from random import Random
from typing import Any

from .judge import MARK

__all__ = ["ODD", "YAML_TEXTS", "Payload", "damage", "odd_tree", "odd_value"]


def _nine(number: int) -> str:
    """Nine aliases of the previous collection."""
    return ", ".join([f"*a{number - 1}"] * 9)


ODD = [
    *(None, True, -1, 0, 1e308, 10**30, -(10**9), 2**63, float("nan"), float("inf"), "", " ", "\0", "a" * 5000),
    *([], {}, [[[]]], {"a": {"b": 1}}, [None], ["x", 3], {1: 2}, "../../x", "/dev/zero"),
    *("~nobody/x", "http://127.0.0.1:9/x", "\u202ename", "né", "😀", "\ud800", "1e999", "!!int x"),
    *("2020-99-99", b"bytes"),
]
YAML_TEXTS = [
    f"MODEL: {{DEVICE: !!python/object/apply:os.system ['touch {MARK}']}}",
    f"!!python/object/apply:builtins.exec [\"open('{MARK}', 'w')\"]",
    f"? !!python/object/apply:os.system ['touch {MARK}']\n: 1",
    "SEED: !!python/name:os.system",
    "_BASE_: http://127.0.0.1:9/evil.yaml",
    "_BASE_: input.yaml",
    "_BASE_: 5",
    "_BASE_: {a: 1}",
    "- a\n- b",
    "just text",
    "5",
    "SEED: 2020-99-99",
    "SEED: " + "9" * 5000,
    "SEED: !!int x",
    "SEED: !!bool maybe",
    "? [a, b]\n: 1",
    "1: 2",
    "SEED: " + "[" * 3000 + "]" * 3000,
    "{" * 5000,
    "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{i}: &a{i} [{_nine(i)}]\n" for i in range(1, 12)),
    "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{_nine(i)}]}}\n" for i in range(1, 12)),
    "SEED: &a [*a]",
    "\x00\x01\x02",
    "SEED: 1\nSEED: 2",
    "--- \nSEED: 1\n---\nSEED: 2",
]


class Payload:
    """An object whose pickle runs code when it is read."""

    def __reduce__(self):
        return Path.touch, (Path(MARK),)


def damage(data: bytes, random: Random) -> bytes:
    """A copy in which bytes are cut off, flipped, inserted, deleted or overwritten, or other data in its place."""
    if not data:
        return b"\0"
    place = random.randrange(len(data))
    changed = bytearray(data)
    choice = random.randrange(6)
    if choice == 0:
        return data[:place]
    if choice == 1:
        for _ in range(random.choice([1, 8, 64])):
            changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
        return bytes(changed)
    if choice == 2:
        return data[:place] + random.randbytes(random.choice([1, 16, 300])) + data[place:]
    if choice == 3:
        return data[:place] + data[place + random.choice([1, 4, 50]) :]
    if choice == 4:
        changed[place : place + 4] = b"\xff\xff\xff\x7f"
        return bytes(changed)
    return random.choice([b"", b"\0" * 100, b"<!DOCTYPE html><html>", random.randbytes(200), pickle.dumps(Payload())])


def odd_value(random: Random) -> Any:
    return copy.deepcopy(random.choice(ODD))


def odd_tree(tree: Any, random: Random) -> Any:
    """A copy of a tree of dictionaries and lists in which one value or key is odd or missing."""
    tree = copy.deepcopy(tree)
    places = [(tree, key) for key in (tree if isinstance(tree, dict) else range(len(tree)))]
    for node, key in places:
        value = node[key]
        if isinstance(value, (dict, list)):
            places += [(value, each) for each in (value if isinstance(value, dict) else range(len(value)))]
    if not places:
        return odd_value(random)
    node, key = random.choice(places)
    choice = random.randrange(5)
    if choice == 0:
        del node[key]
    elif choice == 1 and isinstance(node, dict):
        odd = random.choice(["unknown", "", 5, "é"])
        node[odd] = node.pop(key)
    else:
        node[key] = odd_value(random)
    return tree
