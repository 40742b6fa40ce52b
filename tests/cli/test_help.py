"""Help and wrong arguments of every subcommand."""

from __future__ import annotations

import pytest

from mcf_bundle.__main__ import main
from mcf_bundle.cli.evaluate import SPLITS
from mcf_bundle.cli.table import COMMANDS
from mcf_bundle.data.splits import SPLIT_SHARES

NAMES = [command.name for command in COMMANDS]


def ending(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    """Run a command that ends the program; return its exit code and what it printed on both streams."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    return caught.value.code, *capsys.readouterr()


@pytest.mark.parametrize("words", [[], *([name] for name in NAMES)], ids=str)
def test_help_fits_a_screen_of_24_by_80(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, printed, _ = ending(capsys, *words, "--help")
    assert code == 0
    lines = printed.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_evaluate_knows_the_splits_by_their_names() -> None:
    assert tuple(SPLIT_SHARES) == SPLITS


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    _, printed, _ = ending(capsys, "--help")
    assert NAMES[:7] == ["phantom", "prepare", "train", "evaluate", "plan", "generate", "report"]
    assert NAMES[7:] == ["pack", "unpack", "judge", "reader", "rank", "study"]
    assert all(f"  {command.name} " in printed and command.summary in printed for command in COMMANDS)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "required: COMMAND"),
        (["generat"], "invalid choice: 'generat'"),
        (["generate", "--dataset_dir", "x"], "required: --output_dir"),
        (["generate", "--dataset_dir", "x", "--output_dir", "y", "--num_images", "0"], "0 is below 1"),
        (["generate", "--dataset_dir", "x", "--output_dir", "y", "stray"], "unrecognized arguments: stray"),
        (["train", "gates", "--dataset_dir", "x"], "invalid choice: 'gates'"),
        (["train", "--dataset_dir", "x", "--preset", "huge"], "invalid choice: 'huge'"),
        (["evaluate", "--dataset_dir", "x", "--output_dir", "y"], "required: NETWORK"),
        (["evaluate", "gate", "--dataset_dir", "x", "--output_dir", "y"], "invalid choice: 'gate'"),
        (["evaluate", "segmentation", "--dataset_dir", "x"], "required: --output_dir"),
        (["evaluate", "segmentation", "--dataset_dir", "x", "--split", "tests"], "invalid choice: 'tests'"),
        (["judge", "--dataset_dir", "x", "--output_dir", "y"], "required: --synthetic_dir"),
        (["study", "--dataset_dir", "x", "--output_dir", "y"], "required: --config"),
        (["phantom", "--output_dir", "x", "--patients", "0"], "0 is below 1"),
        (["prepare", "--dataset_dir", "x", "--output", "y"], "required: --output_dir"),
        (["report"], "required: OUT"),
        (["report", "x", "--batch_size", "2"], "unrecognized arguments: --batch_size 2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_argument_ends_with_two_and_says_which(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, complaints = ending(capsys, *words)
    assert code == 2
    assert complaint in complaints.splitlines()[-1]
