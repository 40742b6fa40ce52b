"""The command line: ``python -m mcf_bundle COMMAND``, also installed as ``mcf-bundle``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mcf_bundle import __version__
from mcf_bundle.cli.command import PROGRAM
from mcf_bundle.cli.table import COMMANDS
from mcf_bundle.commandline import describe, ending_on_sigterm, exit_with

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the signal's number, as shells count."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one subcommand.

    Args:
        argv: arguments without the program's name, default those of the process.

    Raises:
        SystemExit: with the exit code of an error of ours, after its one line; with 2 on a wrong argument;
            with 130 after Ctrl-C, with 143 after SIGTERM.
    """
    given = _parser().parse_args(argv)
    command = next(command for command in COMMANDS if command.name == given.command)
    arguments = command.parse(given.words)
    try:
        with ending_on_sigterm():
            command.run(arguments)
    except KeyboardInterrupt:
        print("\nerror: interrupted; give the same command again to go on", file=sys.stderr, flush=True)
        # CPython notes an interrupt that passed through eval, as in a config's expression, and at exit kills
        # the process with the signal, whoever caught it since; the next eval takes the note back.
        eval("None")
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        if describe(error) is None:
            raise
        exit_with(error)


def _parser() -> argparse.ArgumentParser:
    width = max(len(command.name) for command in COMMANDS)
    listed = "\n".join(f"  {command.name:<{width}}  {command.summary}" for command in COMMANDS)
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} COMMAND ...",
        description=f"Healthy MRI slices become tumor slices with masks.\n\ncommands:\n{listed}",
        epilog=f"{PROGRAM} COMMAND --help tells more. MCF_DEBUG=1 adds an error's traceback.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    names = [command.name for command in COMMANDS]
    parser.add_argument("command", choices=names, metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
