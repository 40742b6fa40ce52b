from __future__ import annotations

import logging

import pytest
import torch
from monai.utils import RankFilter

from mcf_bundle import processes
from mcf_bundle.errors import ArgumentError, GateError, McfError, PlanError
from tests.generation.team import Team


@pytest.mark.parametrize(
    ("size", "block", "shares"),
    [
        (1, 2, [[0, 1, 2, 3, 4, 5, 6]]),
        (2, 2, [[0, 1, 4, 5], [2, 3, 6]]),
        (3, 2, [[0, 1, 6], [2, 3], [4, 5]]),
        (3, 5, [[0, 1, 2, 3, 4], [5, 6], []]),
    ],
)
def test_processes_take_turns_at_blocks(
    monkeypatch: pytest.MonkeyPatch, size: int, block: int, shares: list[list[int]]
) -> None:
    team = Team(size, monkeypatch)
    assert team.run(lambda _: processes.share_of_process(range(7), block)) == shares


def test_values_are_gathered_in_the_order_of_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        Team(3, monkeypatch).run(lambda rank: processes.gather(f"value {rank}"))
        == [["value 0", "value 1", "value 2"]] * 3
    )


@pytest.mark.parametrize("value", [3, "text", [1, 2], None])
def test_a_process_alone_gathers_its_own_value(value: object) -> None:
    assert processes.gather(value) == [value]
    assert processes.in_first(lambda: value) == value
    assert processes.share_of_process([1, 2, 3], 2) == [1, 2, 3]
    processes.check_same(value)


def test_the_first_process_works_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    results = Team(3, monkeypatch).run(lambda rank: processes.in_first(lambda: called.append(rank) or "done"))
    assert results == ["done"] * 3
    assert called == [0]


def test_an_error_of_the_first_process_ends_all_with_the_same_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise GateError("gate", "rejects all", "check it")

    errors = Team(3, monkeypatch).run(lambda _: processes.in_first(fail))
    assert [str(error) for error in errors] == ["gate: rejects all; check it"] * 3
    assert all(isinstance(error, McfError) for error in errors)


def test_another_plan_in_one_process_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    team = Team(3, monkeypatch)
    assert team.run(lambda _: processes.check_same(("plan", "key"))) == [None] * 3
    errors = team.run(lambda rank: processes.check_same(("plan", "key" if rank != 2 else "other key")))
    assert all(
        isinstance(error, PlanError) and "process 2 has another plan" in str(error) for error in errors
    )


def test_the_log_of_the_first_process_is_filtered_by_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.NullHandler()
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    processes.log_in_first()
    assert [type(item) for item in handler.filters] == [RankFilter]
    record = logging.makeLogRecord({})
    assert handler.filter(record)
    handler.filters[0].rank = 1  # type: ignore[union-attr]
    assert not handler.filter(record)


def test_one_process_is_the_first_and_of_several_it_is_number_0(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes.is_first()
    assert Team(3, monkeypatch).run(lambda _: processes.is_first()) == [True, False, False]


def test_without_a_launcher_the_way_to_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ArgumentError, match="start it with torchrun --nproc_per_node N"):
        processes.join_processes("cpu")


@pytest.mark.parametrize(("number", "device"), [(0, "cuda:0"), (1, "cuda:1")])
def test_each_process_has_its_gpu(monkeypatch: pytest.MonkeyPatch, number: int, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", str(number))
    assert str(processes.process_device()) == device


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ArgumentError, match="--nproc_per_node: process 3 on this machine has no GPU"):
        processes.process_device()


def test_without_a_gpu_all_compute_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("LOCAL_RANK", "5")
    assert processes.process_device() == torch.device("cpu")
