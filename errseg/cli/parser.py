"""The parser of a command line: old spellings, KEY VALUE pairs at the end, one sentence for a mistake."""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from errseg.errors import short

__all__ = ["Parser"]

SECTIONED = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)+")  # TEST.FLIP
TOP_LEVEL = ("CUDNN_BENCHMARK", "FLOAT32_PRECISION", "OUTPUT_DIR", "SEED", "VERSION", "VIS_PERIOD", "WRITERS")
FILES = ("BMP", "GIF", "HEIC", "HEIF", "JPEG", "JPG", "PNG", "TIF", "TIFF", "WEBP", "AVI", "MKV", "MOV", "MP4", "WEBM")


class Parser(argparse.ArgumentParser):
    """A parser of one command.

    Args:
        program: the name for messages, such as "errseg predict".
        description: the docstring of the command's module.
    """

    def __init__(self, program: str, description: str):
        super().__init__(prog=program, description=description, formatter_class=_Formatter)
        self.takes_keys = False

    def alias(self, old: str, dest: str, **options: Any) -> None:
        """Add an old spelling of an option. The help does not show it."""
        self.add_argument(old, dest=dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **options)

    def add_keys(self) -> None:
        """Accept KEY VALUE pairs at the end, as ``args.opts``."""
        self.takes_keys = True
        self.epilog = "KEY VALUE pairs at the end change the configuration, as in TEST.FLIP True."
        self.add_argument("--opts", nargs="*", default=[], help=argparse.SUPPRESS)

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The options and positional arguments of a command line, and ``program``, the name for messages.

        Raises:
            SystemExit: after the help (status 0), or after a sentence about a mistake (status 2).
        """
        self.usage = self._short_usage()
        words, pairs = self._split(list(words)) if self.takes_keys else (list(words), [])
        for word in words:  # before argparse reports missing options
            if word.startswith("--") and len(word) > 2 and not self._meant(word.partition("=")[0]):
                self.error(f"unrecognized arguments: {word}")
        args = self.parse_intermixed_args(words)
        args.program = self.prog
        if self.takes_keys:
            late = next((word for word in pairs if word.startswith("--")), None)
            if late:
                self.error(f"The option {short(late)} comes after a KEY VALUE pair; put the options before the pairs.")
            args.opts = [*args.opts, *pairs]
        return args

    def _short_usage(self) -> str:
        words = [self.prog]
        for action in self._actions:
            if not action.option_strings:
                words.append(f"[{action.metavar}]" if action.nargs in ("?", "*") else str(action.metavar))
        return " ".join([*words, "[OPTION…]", *(["[KEY VALUE…]"] if self.takes_keys else [])])

    def error(self, message: str) -> NoReturn:
        """Print one sentence and end with status 2."""
        message = re.sub(r"^one of the arguments (\S+) is required", r"\1 is required", message)
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        if unknown and unknown[1].startswith("-"):
            shown = (action for action in self._actions if action.help != argparse.SUPPRESS)
            options = [name for action in shown for name in action.option_strings]
            near = difflib.get_close_matches(unknown[1].partition("=")[0], options, n=1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else f"{self.prog} --help lists the options."
            message = f"There is no option {short(unknown[1])}; {hint}"
        elif unknown and self.takes_keys:
            message = f"{short(unknown[1])} is not a configuration key, such as TEST.FLIP; see {self.prog} --help."
        elif not message.endswith((".", "?")):
            message = f"{' '.join(message.split())}; see {self.prog} --help."
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(2)

    def _split(self, words: list[str]) -> tuple[list[str], list[str]]:
        """The words before the first configuration key, and the words from it on. An option's value is not a key."""
        place = 0
        while place < len(words):
            word = words[place]
            if word == "--opts":  # the old spelling is followed by the pairs
                return words, []
            if word.startswith("--") and "=" not in word:
                place += 1 + self._takes_one_value(word)
            elif _is_key(word):
                return words[:place], words[place:]
            else:
                place += 1
        return words, []

    def _takes_one_value(self, word: str) -> bool:
        actions = self._meant(word)
        return len(actions) == 1 and actions[0].nargs is None

    def _meant(self, word: str) -> list[argparse.Action]:
        """The options whose name is the word, or begins with it."""
        exact = [action for action in self._actions if word in action.option_strings]
        return exact or [a for a in self._actions if any(name.startswith(word) for name in a.option_strings)]


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keep the lines of the description; put the help of an option on its line where there is room."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=26)


def _is_key(word: str) -> bool:
    """Whether a word is a configuration key, and not a picture such as IMG_1.JPG."""
    if word in TOP_LEVEL or SECTIONED.fullmatch(word):
        return not (os.path.lexists(word) or word.rpartition(".")[2] in FILES)
    return False
