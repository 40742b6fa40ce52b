from __future__ import annotations

from typing import get_args

from mcf_bundle.generation.placement_rules import Reason
from mcf_bundle.generation.wording import FIGURES, REASONS, in_words
from tests.generation.disc_rows import disc_cases
from tests.generation.test_loop import run


def test_every_reason_against_a_pair_has_words() -> None:
    assert set(REASONS) == set(get_args(Reason))


def test_every_figure_of_the_gate_has_words() -> None:
    (made,) = run(disc_cases(), [[2]]).made
    assert set(made.gate.figures) == set(FIGURES)


def test_no_two_codes_share_their_words_and_none_is_its_own() -> None:
    words = [in_words(code) for code in (*FIGURES, *REASONS)]
    assert len(set(words)) == len(words) == len(FIGURES) + len(REASONS)
    assert not set(words) & {*FIGURES, *REASONS}
