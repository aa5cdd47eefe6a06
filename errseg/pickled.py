"""Find out what a pickle would build without building it: follow its instructions, but call nothing.

The result holds plain values, and stand-ins for all other objects. Readers check it before a library unpickles the
file. Nothing in it may take more memory or time than the size of the file accounts for.
"""

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

__all__ = ["Call", "Name", "Persistent", "Refused", "trace", "walk"]

MOST_INSTRUCTIONS = 1_000_000  # a tensor takes about thirty
MOST_LEVELS = 50  # of containers in containers
SLACK = 4096  # bytes
DICTIONARIES = ("collections.OrderedDict", "collections.Counter")  # taken as plain dictionaries
NO_CONTAINERS = (str, bytes, int, float, complex, type(None))
SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
# Instructions whose argument is the value, and those that make an empty one
VALUES = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
FIXED_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Refused(ValueError):
    """A pickle is damaged, or asks for what no honest file needs; the message is a clause that follows "it"."""


@dataclass(eq=False)
class Name:
    """A function or class that a pickle names."""

    name: str  # with its module, such as "collections.OrderedDict"


@dataclass(eq=False)
class Call:
    """An object that a pickle would make by a call."""

    name: str
    args: Any
    state: Any = None
    items: list[Any] = field(default_factory=list)  # what is put into the object after the call


@dataclass(eq=False)
class Persistent:
    """An object that is stored outside the pickle, such as a tensor's storage."""

    id: Any


def trace(stream: BinaryIO, most: int = MOST_INSTRUCTIONS) -> Any:
    """What the next pickle in a stream would build; the stream is then at the end of the pickle.

    Args:
        stream: open for reading in binary.
        most: instructions that the pickle may have.

    Raises:
        Refused: the pickle is damaged, has too many instructions, or asks for memory or time out of proportion to its
            size.
    """
    machine = _Machine()
    try:
        for number, (opcode, argument, position) in enumerate(pickletools.genops(stream)):
            if number >= most:
                raise Refused(f"has more than {most} instructions, which no honest file needs")
            machine.step(opcode.name, argument, number)
            if machine.copied > position + SLACK:  # an honest pickle hands each value to one call
                raise Refused("asks for copies of its values that take more memory than the file has bytes")
        return machine.stack.pop()
    except Refused:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise Refused(f"is damaged ({str(error)[:200] or type(error).__name__})") from error


class _Machine:
    """The stack machine whose program is the pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0  # bytes or items that were passed to calls

    def step(self, name: str, argument: Any, number: int) -> None:
        """Follow one instruction, the ``number``-th."""
        stack = self.stack
        if name in VALUES:
            stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
            index = len(self.memo) if name == "MEMOIZE" else argument
            if index > number:  # the standard library's unpickler allocates memory for all smaller indices
                raise Refused(f"stores a value under the number {index}, out of order")
            self.memo[index] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name in FIXED_TUPLES:
            size = FIXED_TUPLES[name]
            stack[-size:] = [tuple(stack[-size:])]
        elif name == "MARK":
            self.marks.append(stack)
            self.stack = []
        elif name not in ("PROTO", "FRAME", "STOP"):
            method = getattr(self, f"_{name.lower()}", None)
            if method is None:
                raise Refused(f"has the instruction {name}, which files of data do not have")
            method(argument)

    def _marked(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _tuple(self, _: Any) -> None:
        items = self._marked()
        self.stack.append(tuple(items))

    def _list(self, _: Any) -> None:
        items = self._marked()
        self.stack.append(items)

    def _dict(self, _: Any) -> None:
        items = self._marked()
        self.stack.append({})
        self._put(items)

    def _append(self, _: Any) -> None:
        item = self.stack.pop()
        self._extend([item])

    def _appends(self, _: Any) -> None:
        self._extend(self._marked())

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        (target.items if isinstance(target, Call) else target).extend(items)

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key, value])

    def _setitems(self, _: Any) -> None:
        self._put(self._marked())

    def _put(self, items: list[Any]) -> None:
        target, keys, values = self.stack[-1], items[::2], items[1::2]
        _check_hashed(keys)
        if isinstance(target, Call):
            target.items.extend(items)
        else:
            target.update(zip(keys, values, strict=True))

    def _additems(self, _: Any) -> None:
        items = self._marked()
        _check_hashed(items)
        self.stack[-1].update(items)

    def _frozenset(self, _: Any) -> None:
        items = self._marked()
        _check_hashed(items)
        self.stack.append(frozenset(items))

    def _global(self, argument: str) -> None:
        self.stack.append(Name(argument.replace(" ", ".", 1)))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Name(f"{module}.{name}"))

    def _reduce(self, _: Any) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Name) or not isinstance(args, tuple):
            raise Refused("calls what is no function")
        self._count(*args)
        self.stack.append(_call(function.name, args))

    def _count(self, *values: Any) -> None:
        self.copied += sum(len(value) for value in values if isinstance(value, SIZED))

    def _newobj(self, _: Any) -> None:
        self._reduce(None)

    def _newobj_ex(self, _: Any) -> None:
        keywords, args, kind = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.stack.append(Call(kind.name, (args, keywords)))

    def _inst(self, argument: str) -> None:
        args = self._marked()
        self.stack.append(Call(argument.replace(" ", ".", 1), tuple(args)))

    def _obj(self, _: Any) -> None:
        kind, *args = self._marked()
        self.stack.append(Call(kind.name, tuple(args)))

    def _build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        self._count(state)
        if isinstance(target, Call):
            target.state = state
        elif not isinstance(target, dict):  # attributes of an OrderedDict, as torch's state dicts have, are no content
            raise Refused(f"sets the state of a {type(target).__name__}")

    def _binpersid(self, _: Any) -> None:
        self.stack.append(Persistent(self.stack.pop()))

    def _persid(self, argument: str) -> None:
        self.stack.append(Persistent(argument))

    def _pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._marked()

    def _pop_mark(self, _: Any) -> None:
        self._marked()

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])


def _call(name: str, args: tuple[Any, ...]) -> Any:
    """The stand-in for what a call makes."""
    if name in DICTIONARIES and len(args) <= 1:
        if not args:
            return {}
        if isinstance(args[0], dict):
            return dict(args[0])
        pairs = [(key, value) for key, value in args[0]]
        _check_hashed([key for key, _ in pairs])
        return dict(pairs)
    if name.endswith((".set", ".frozenset")):
        for items in args:
            _check_hashed(items)
    if name.endswith(".bytearray") and any(isinstance(arg, int) for arg in args):
        raise Refused(f"asks for {args[0]} bytes that are not in the file (bytearray)")
    return Call(name, args)


def _check_hashed(keys: Any) -> None:
    """Refuse keys that take long to hash, such as a tuple of tuples of ... of the same tuple."""
    for key in keys:
        for part in key if isinstance(key, tuple) else (key,):
            if not isinstance(part, (*NO_CONTAINERS, Name, Call)):
                raise Refused(f"has a {type(part).__name__} within a key of a dictionary or set")


def walk(tree: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every object in the result of ``trace``, once, with the keys and indices that lead to it, outermost first.

    The arguments, the state and the items of a call have the same keys and indices as the call.

    Raises:
        Refused: containers are nested deeper than ``MOST_LEVELS``.
    """
    seen: set[int] = set()
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), tree)]
    while waiting:
        path, node = waiting.pop()
        if not isinstance(node, NO_CONTAINERS):
            if id(node) in seen:
                continue
            seen.add(id(node))
        if len(path) > MOST_LEVELS:
            raise Refused(f"nests its values deeper than {MOST_LEVELS} levels")
        yield path, node
        if isinstance(node, dict):
            waiting += [((*path, key), value) for key, value in reversed(node.items())]
        elif isinstance(node, (list, tuple, set, frozenset)):
            waiting += [((*path, index), value) for index, value in enumerate(node)]
        elif isinstance(node, Call):
            waiting += [(path, inner) for inner in (node.state, *node.items, *_listed(node.args))]


def _listed(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)
