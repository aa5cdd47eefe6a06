"""Run the command that a command line names."""

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

import errseg
from errseg.errors import UsageError, short

from .commands import COMMANDS, GROUPS, Command
from .parser import Parser

__all__ = ["main"]

WIDTH = max(len(command.name) for command in COMMANDS) + 2


def _overview() -> str:
    """The lines of ``errseg --help``: one for each command of one word, and for each group of commands."""
    rows = {}
    for command in COMMANDS:
        group, _, inner = command.name.partition(" ")
        if not inner:
            rows[group] = command.summary
        elif group not in rows:
            inners = ", ".join(each.name.split()[1] for each in COMMANDS if each.name.startswith(f"{group} "))
            rows[group] = f"{GROUPS[group]}: {inners}"
    width = max(map(len, rows)) + 2
    return "\n".join(
        [
            "usage: errseg COMMAND [OPTION…]           errseg COMMAND --help says more",
            "",
            *(f"  {name:<{width}}{summary}" for name, summary in rows.items()),
            "",
            'example: errseg predict photo.jpg --classes "dog, grass" --weights FILE',
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the words after ``errseg``; None: those of the process.

    Returns:
        The exit status. 0: success. 2: a mistake of the user, with one sentence on standard error. 130: Ctrl-C. Any
        other status is explained in the command's help.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _run(words)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # a reader such as head has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python reports an error at exit
        return 141


def _run(words: list[str]) -> int:
    """Run the command of the words, and return its exit status."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"errseg {errseg.__version__}")
        return 0
    group = [command for command in COMMANDS if command.name.split()[0] == words[0] and " " in command.name]
    if group and (len(words) == 1 or words[1] in ("-h", "--help")):
        print("\n".join(f"  errseg {command.name:<{WIDTH}}{command.summary}" for command in group))
        return 0 if len(words) > 1 else 2
    try:
        command, rest = _find(words)
    except UsageError as error:
        return _refuse("errseg", error)
    module = importlib.import_module(f"errseg.cli.{command.module}")
    program = f"errseg {command.name}"
    parser = Parser(program, module.__doc__ or "")
    module.add_arguments(parser)
    try:
        args = parser.parse(rest)
    except SystemExit as end:  # after --help or a wrong option
        return end.code if isinstance(end.code, int) else 2
    try:
        if getattr(module, "NEEDS_MODELS", True):
            importlib.import_module("errseg.everything")
        return module.run(args)
    except UsageError as error:
        return _refuse(program, error)
    except SystemExit as end:  # of a process of training or evaluation, which has printed the reason
        return end.code if isinstance(end.code, int) else 2
    except KeyboardInterrupt:
        return 130


def _find(words: list[str]) -> tuple[Command, list[str]]:
    """The command that the first words name, and the words after it.

    Raises:
        UsageError: there is no such command.
    """
    for command in COMMANDS:
        name = command.name.split()
        if words[: len(name)] == name:
            return command, words[len(name) :]
    names = [command.name for command in COMMANDS]
    is_group = any(name.startswith(f"{words[0]} ") for name in names)
    said = " ".join(words[: 2 if is_group else 1])
    near = difflib.get_close_matches(said, names, n=1)
    hint = f"did you mean {near[0]}?" if near else "errseg --help lists the commands."
    raise UsageError(f"There is no command {short(said)}; {hint}")


def _refuse(program: str, error: UsageError) -> int:
    print(f"{program}: {error}", file=sys.stderr)
    return 2
