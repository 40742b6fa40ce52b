"""What a subcommand is: a name, its options, and the workflow that it calls."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROGRAM = "mcf-bundle"

_OPTION = re.compile("--|-[a-zA-Z]")


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        name: what the user types.
        summary: one line, for the list of commands and the subcommand's own help.
        options: from each option or positional to the arguments of `argparse.ArgumentParser.add_argument`.
        run: called with what was parsed; imports what it needs itself, so that help comes at once.
        usage: what stands after the name in the first line of the help.
        notes: a paragraph below the options.
        takes_ids: whether options that are not listed are ids of a bundle: they reach `run` as ``ids``, as
            typed.
    """

    name: str
    summary: str
    options: Mapping[str, Mapping[str, Any]]
    run: Callable[[argparse.Namespace], None]
    usage: str = "[options]"
    notes: str = ""
    takes_ids: bool = False

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse what stands after the name.

        Returns:
            The options by name; ``ids``, those of a bundle; and ``line``, the whole command as typed.

        Raises:
            SystemExit: with 2 on a wrong argument, with 0 after help.
        """
        parser = argparse.ArgumentParser(
            prog=f"{PROGRAM} {self.name}",
            usage=f"{PROGRAM} {self.name} {self.usage}",
            description=f"{self.summary[0].upper()}{self.summary[1:]}.",
            epilog=self.notes,
            allow_abbrev=False,
        )
        for name, settings in self.options.items():
            parser.add_argument(name, **settings)
        known = {"-h", "--help", *self.options}
        ours, ids = split_ids(words, known) if self.takes_ids else (list(words), [])
        return parser.parse_args(ours, argparse.Namespace(ids=ids, line=(PROGRAM, self.name, *words)))


def split_ids(words: Sequence[str], known: Collection[str]) -> tuple[list[str], list[str]]:
    """Part what is ours on a command line from ids of a bundle, which Fire reads.

    Args:
        words: the command line.
        known: our own options.

    Returns:
        Our words, with everything that belongs to no option, and the ids with their values. An id takes the
        next word as its value unless that begins an option, as Fire has it.

    >>> split_ids(["gate", "--seed", "3", "--eta", "-1", "--amp", "--a#b=2"], {"--seed"})
    (['gate', '--seed', '3'], ['--eta', '-1', '--amp', '--a#b=2'])
    """
    ours: list[str] = []
    ids: list[str] = []
    value_of_id = False
    for word in words:
        if not _OPTION.match(word):
            (ids if value_of_id else ours).append(word)
            value_of_id = False
        elif word.partition("=")[0] in known:
            ours.append(word)
            value_of_id = False
        else:
            ids.append(word)
            value_of_id = "=" not in word
    return ours, ids
