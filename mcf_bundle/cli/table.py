"""All subcommands, in the order of a project."""

from __future__ import annotations

from mcf_bundle.cli.command import Command
from mcf_bundle.cli.evaluate import EVALUATE
from mcf_bundle.cli.generate import GENERATE
from mcf_bundle.cli.judge import JUDGE
from mcf_bundle.cli.pack import PACK, UNPACK
from mcf_bundle.cli.phantom import PHANTOM
from mcf_bundle.cli.plan import PLAN
from mcf_bundle.cli.prepare import PREPARE
from mcf_bundle.cli.rank import RANK
from mcf_bundle.cli.reader import READER
from mcf_bundle.cli.report import REPORT
from mcf_bundle.cli.study import STUDY
from mcf_bundle.cli.train import TRAIN

COMMANDS: tuple[Command, ...] = (
    PHANTOM,
    PREPARE,
    TRAIN,
    EVALUATE,
    PLAN,
    GENERATE,
    REPORT,
    PACK,
    UNPACK,
    JUDGE,
    READER,
    RANK,
    STUDY,
)
"""A new one is a file beside this and a word here."""
