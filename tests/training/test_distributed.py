from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import ignite.distributed as idist
import pytest
import torch
from ignite.engine import Engine
from monai.handlers import StatsHandler
from torch.utils.data import DataLoader, SequentialSampler

from mcf_bundle.diffusion.schedule import cosine_schedule
from mcf_bundle.errors import ArgumentError
from mcf_bundle.training import distributed
from mcf_bundle.training.epoch_sampler import EpochSampler
from mcf_bundle.training.handlers import EpochSeedHandler, GradientClipHandler, ProgressHandler
from mcf_bundle.training.prepare_batch import NoisePrepareBatch
from mcf_bundle.training.resume import ResumeHandler

BecomeProcess = Callable[[int, int], None]


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> BecomeProcess:
    """Make this process one of several, as far as their numbers go."""

    def become(rank: int, processes: int) -> None:
        monkeypatch.setattr(idist, "get_rank", lambda: rank)
        monkeypatch.setattr(idist, "get_world_size", lambda: processes)

    return become


def batches(sampler: Any, batch_size: int) -> list[list[int]]:
    loader = DataLoader(range(1000), sampler=sampler, batch_size=batch_size)  # type: ignore[arg-type]
    return [batch.tolist() for batch in loader]


# --- Shares of a batch -----------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("count", [8, 24, 28, 40])
def test_the_rows_of_all_processes_are_those_of_one(
    become: BecomeProcess, processes: int, count: int
) -> None:
    sampler = EpochSampler([0] * 20 + [1] * 20, num_samples=count, class_shares=(0.5, 0.5), seed=1)
    sampler.set_epoch(3)
    expected = batches(sampler, 8)
    shares = []
    for rank in range(processes):
        become(rank, processes)
        share = distributed.ProcessSampler(sampler, 8)
        assert len(list(share)) == len(share) == count // processes
        shares.append(batches(share, distributed.rows_of_process(8)))
    joined = [list(chain(*rows)) for rows in zip(*shares, strict=True)]
    assert joined == expected


@pytest.mark.parametrize("count", [1, 2, 9, 11, 15])
def test_an_uneven_epoch_is_filled_up_with_its_first_samples(become: BecomeProcess, count: int) -> None:
    shares = []
    for rank in range(4):
        become(rank, 4)
        share = distributed.ProcessSampler(SequentialSampler(range(count)), 8)
        shares.append(batches(share, 2))
        assert len(list(share)) == len(share)
    joined = [position for rows in zip(*shares, strict=True) for position in chain(*rows)]
    missing = -count % 4
    assert joined == [*range(count), *[position % count for position in range(missing)]]


@pytest.mark.parametrize(
    ("batch_size", "problem"),
    [(9, "batch_size: 9 cannot be shared equally by 2"), (0, "batch_size: expected a whole number")],
)
def test_a_batch_that_cannot_be_shared_is_refused(
    become: BecomeProcess, batch_size: int, problem: str
) -> None:
    become(0, 2)
    with pytest.raises(ArgumentError, match=problem):
        distributed.rows_of_process(batch_size)


@pytest.mark.parametrize("target", ["noise", "label"])
@pytest.mark.parametrize("crop", [None, 8])
def test_each_process_draws_the_noise_of_its_rows(
    become: BecomeProcess, target: Any, crop: int | None
) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = {
        "image": torch.rand(6, 3, 16, 16, generator=generator),
        "context": torch.rand(6, 6, 16, 16, generator=generator),
        "label": torch.arange(6),
    }

    def prepare() -> NoisePrepareBatch:
        return NoisePrepareBatch(cosine_schedule(), target=target, crop=crop, seed=5)

    inputs, targets, arguments, named = prepare()(batch, "cpu")
    assert arguments == ()
    names = list("abcdef")  # no tensor, as `TripletDataset` gives them
    for rank in range(3):
        become(rank, 3)
        mine = slice(2 * rank, 2 * rank + 2)
        own = {key: value[mine] for key, value in {**batch, "patient": names}.items()}
        result = distributed.ProcessPrepareBatch(prepare())(own, "cpu")
        torch.testing.assert_close(result[0], inputs[mine], rtol=0, atol=0)
        torch.testing.assert_close(result[1], targets[mine], rtol=0, atol=0)
        assert result[2] == ()
        assert result[3].keys() == named.keys()
        for key in named:
            torch.testing.assert_close(result[3][key], named[key][mine], rtol=0, atol=0)


# --- Handlers --------------------------------------------------------------------------------------


def kinds(handlers: list[Any]) -> list[type]:
    return [type(handler) for handler in handlers]


def test_only_the_first_process_writes(become: BecomeProcess, tmp_path: Any) -> None:
    seeds, clip = EpochSeedHandler([]), GradientClipHandler(torch.nn.Linear(1, 1))
    resume = ResumeHandler(tmp_path, {}, {"seed": 0})
    handlers = [seeds, clip, ProgressHandler(), StatsHandler(), resume]
    become(0, 2)
    assert distributed.handlers_of_process(handlers) == handlers
    become(1, 2)
    others = distributed.handlers_of_process(handlers)
    assert others[:2] == [seeds, clip]
    assert kinds(others[2:]) == [distributed.RestoreHandler]
    engine = Engine(lambda engine, batch: {"loss": torch.zeros(())})
    others[2].attach(engine)
    engine.run([0], max_epochs=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rank", [0, 1])
def test_a_trainer_s_loss_is_averaged_before_any_handler_sees_it(become: BecomeProcess, rank: int) -> None:
    become(rank, 2)
    handlers = distributed.handlers_of_process([GradientClipHandler(torch.nn.Linear(1, 1))], training=True)
    assert kinds(handlers) == [distributed.MeanLossHandler, GradientClipHandler]
