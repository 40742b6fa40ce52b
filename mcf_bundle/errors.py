"""Errors that tell a user which file or argument is wrong, and the way out."""

from __future__ import annotations

from pathlib import Path


class McfError(ValueError):
    """Base of every error that this project raises for bad input.

    Args:
        where: file, folder or argument that is wrong.
        problem: what was expected and what came instead.
        remedy: what the user can do about it.

    The message reads ``<where>: <problem>; <remedy>``; command lines print it as one line after ``error:``.
    """

    exit_code = 1

    def __init__(self, where: str | Path, problem: str, remedy: str) -> None:
        self.where, self.problem, self.remedy = str(where), problem, remedy
        super().__init__(f"{where}: {problem}; {remedy}")

    def __reduce__(self) -> tuple[type[McfError], tuple[str, str, str]]:
        """Pickle with all three parts, so that the error survives a worker process."""
        return type(self), (self.where, self.problem, self.remedy)


class ArgumentError(McfError):
    """An argument or config key is unknown, missing or out of range."""


class DataError(McfError):
    """A data file or folder is missing, damaged or not what the layout asks for."""


class UnwritableError(DataError):
    """A file or folder cannot be written."""


class LeakageError(McfError):
    """A patient of the validation or test set would take part in training or generation."""


class CheckpointError(McfError):
    """A checkpoint is missing, truncated, or belongs to another architecture."""


class PlanError(McfError):
    """A plan cannot be made from the data, or does not fit what lies in the output folder."""


class BusyError(McfError):
    """Another job works in the output folder."""


class GateError(McfError):
    """The gate rejects so many images that the settings, not the images, must be wrong."""


class StudyError(McfError):
    """A study cannot go on: a run failed, or its folder holds another study's results."""


class IncompleteError(McfError):
    """Fewer images than planned could be written; everything that passed is on disk."""

    exit_code = 3
