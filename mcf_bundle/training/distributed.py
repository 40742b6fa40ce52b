"""Training on several processes, one for each GPU, that ends in the weights of one process.

Each step's batch is shared: a process loads and computes its rows of it, and DistributedDataParallel averages
the gradients. `batch_size`, learning rate and number of steps keep their meaning.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Sized
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.engines import PrepareBatch
from monai.handlers import CheckpointSaver, StatsHandler, TensorBoardHandler
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Sampler

from mcf_bundle.arguments import check_count
from mcf_bundle.diffusion.losses import WeightedLoss
from mcf_bundle.errors import ArgumentError
from mcf_bundle.processes import is_first
from mcf_bundle.training.handlers import ProgressHandler
from mcf_bundle.training.resume import ResumeHandler
from mcf_bundle.training.sample_grid import SampleGridHandler
from mcf_bundle.training.shared_statistics import share_statistics
from mcf_bundle.training.weights import WeightsHandler

WRITERS = (
    *(WeightsHandler, SampleGridHandler, ProgressHandler),
    *(CheckpointSaver, StatsHandler, TensorBoardHandler),
)
"""Handlers that write files or to the screen; the first process alone has them."""


def rows_of_process(batch_size: int) -> int:
    """Return how many rows of each batch a process takes.

    Raises:
        ArgumentError: the batch cannot be shared equally.
    """
    check_count("batch_size", batch_size)
    processes = idist.get_world_size()
    if batch_size % processes:
        problem = f"{batch_size} cannot be shared equally by {processes} processes"
        raise ArgumentError("batch_size", problem, f"choose a multiple of {processes}")
    return batch_size // processes


def parallel_network(
    network: nn.Module, device: str | torch.device, *, channels_last: bool = False
) -> DistributedDataParallel:
    """Wrap a network so that the processes average its gradients; its weights stay where they are.

    Args:
        network: already on `device`; optimizer, average and checkpoints keep to it, so that the names of the
            weights do not change.
        device: of this process.
        channels_last: memory format of the weights in training, see `autocast_call`.
    """
    if channels_last:
        # DistributedDataParallel lays out its buffers as the weights lie now. Where these are laid out anew
        # later, the gradients of convolutions come back with their elements in another order.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    on_gpu = torch.device(device).type == "cuda"
    shared = share_statistics(network, device)
    return DistributedDataParallel(shared, device_ids=[device] if on_gpu else None)


class WholeBatchLoss(nn.Module):
    """Give a process the loss of the whole batch, of which it has its rows, and its part of the gradient.

    So a loss that looks at a batch as a whole, such as a batch Dice, is that of one process.

    Args:
        loss_function: called as loss_function(prediction, target). What is no tensor, such as the losses that
            a detector computes itself, is handed on as it is.
    """

    def __init__(self, loss_function: nn.Module) -> None:
        super().__init__()
        self.loss_function = loss_function

    def forward(self, prediction: Any, target: Any) -> Tensor:
        """Return the loss, ()."""
        processes = idist.get_world_size()
        if processes == 1 or not (isinstance(prediction, Tensor) and isinstance(target, Tensor)):
            return self.loss_function(prediction, target)
        if prediction.requires_grad:
            # DistributedDataParallel takes the mean of the processes' gradients, and this is one summand.
            prediction.register_hook(lambda gradient: gradient * processes)
        predictions = list(_rows_of_all(prediction.detach()))
        predictions[idist.get_rank()] = prediction
        return self.loss_function(torch.cat(predictions), torch.cat(_rows_of_all(target)))


class ProcessSampler(Sampler[int]):
    """Take this process's rows of each batch that another sampler would make.

    The epoch is filled up to a multiple of the number of processes with its first samples, as torch's
    DistributedSampler does; nothing else differs from one process.

    Args:
        sampler: gives the whole epoch in the same order to every process.
        batch_size: rows of a batch, all processes together.

    Raises:
        ArgumentError: see `rows_of_process`.
    """

    def __init__(self, sampler: Sampler[int], batch_size: int) -> None:
        if not isinstance(sampler, Sized):
            raise ArgumentError("train#sampler", "has no length", "choose a sampler with a length")
        rows_of_process(batch_size)
        self.sampler, self.batch_size = sampler, batch_size

    def __len__(self) -> int:
        return -(-len(self.sampler) // idist.get_world_size())

    def __iter__(self) -> Iterator[int]:
        """Yield positions of samples."""
        rank, processes = idist.get_rank(), idist.get_world_size()
        order = list(self.sampler)
        order += itertools.islice(itertools.cycle(order), -len(order) % processes)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            rows = len(batch) // processes
            yield from batch[rank * rows : (rank + 1) * rows]


class ProcessPrepareBatch(PrepareBatch):
    """Prepare this process's rows as one process prepares them among the whole batch.

    The random numbers are drawn for the whole batch, the same ones in every process, with zeros in the rows
    of the others. What is no tensor, such as the cases' names, is left out.

    Args:
        prepare_batch: gives (inputs, targets, arguments, keyword arguments) with one row for each of the
            batch, such as `NoisePrepareBatch`.
    """

    def __init__(self, prepare_batch: PrepareBatch) -> None:
        self.prepare_batch = prepare_batch

    def __call__(
        self,
        batchdata: dict[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return what the wrapped one gives, this process's rows of it."""
        count = len(next(iter(batchdata.values())))
        mine = slice(idist.get_rank() * count, (idist.get_rank() + 1) * count)

        def among_others(rows: Tensor) -> Tensor:
            whole = rows.new_zeros(count * idist.get_world_size(), *rows.shape[1:])
            whole[mine] = rows
            return whole

        def take(value: Tensor) -> Tensor:
            return value[mine].to(device, non_blocking=non_blocking, **kwargs)

        tensors = {key: value for key, value in batchdata.items() if isinstance(value, Tensor)}
        whole = {key: among_others(value) for key, value in tensors.items()}
        inputs, targets, args, named = self.prepare_batch(whole, "cpu")
        return take(inputs), take(targets), tuple(map(take, args)), {k: take(v) for k, v in named.items()}


class MeanLossHandler:
    """Replace a process's loss by the mean over all, which is the loss of the batch; attach it first.

    The terms of a `WeightedLoss` are averaged likewise.
    """

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Average the loss."""
        output: Any = engine.state.output
        loss_function = getattr(engine, "loss_function", None)
        if isinstance(loss_function, WholeBatchLoss):
            loss_function = loss_function.loss_function
        if isinstance(loss_function, WeightedLoss):
            loss_function.values = {name: _mean(value) for name, value in loss_function.values.items()}
        output["loss"] = _mean(output["loss"])


class RestoreHandler:
    """Go on from a training state that another process writes.

    Args:
        resume: what reads the state.
    """

    def __init__(self, resume: ResumeHandler) -> None:
        self.resume = resume

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.STARTED, self.resume.restore)


def handlers_of_process(handlers: Sequence[Any], *, training: bool = False) -> list[Any]:
    """Choose the handlers of this process: the first has all, the others those that write nothing.

    Args:
        handlers: of a trainer or an evaluator.
        training: whether they are a trainer's, whose loss is averaged over the processes first.
    """
    first = [MeanLossHandler()] if training else []
    if is_first():
        return [*first, *handlers]
    kept = [handler for handler in handlers if not isinstance(handler, WRITERS)]
    return [*first, *(RestoreHandler(item) if isinstance(item, ResumeHandler) else item for item in kept)]


def _rows_of_all(rows: Tensor) -> tuple[Tensor, ...]:
    """Return the rows of each process, equally many, in the order of the batch."""
    gathered: Any = idist.all_gather(rows.contiguous())
    return gathered.chunk(idist.get_world_size())


def _mean(value: Tensor) -> Tensor:
    total: Any = idist.all_reduce(value.detach().clone())
    return total / idist.get_world_size()
