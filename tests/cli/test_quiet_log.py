"""What the log says of errors that end a command in one line."""

from __future__ import annotations

import logging

import pytest

from mcf_bundle.cli.quiet_log import log_without_tracebacks
from mcf_bundle.errors import DataError

ERRORS = (DataError("a.tif", "truncated", "copy it again"), KeyboardInterrupt(), KeyError("theirs"))


@pytest.mark.parametrize(("debug", "kept"), [("0", [False, False, True]), ("1", [True, True, True])])
def test_only_errors_of_others_keep_their_traceback_unless_debugging(
    debug: str, kept: list[bool], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCF_DEBUG", debug)
    before = logging.getLogRecordFactory()
    with log_without_tracebacks():
        for error in ERRORS:
            try:
                raise error
            except BaseException:
                logging.getLogger("engine").exception("stopped")
    assert [record.exc_info is not None for record in caplog.records] == kept
    assert logging.getLogRecordFactory() is before
