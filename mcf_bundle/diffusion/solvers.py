"""Solvers by name: how a sampler walks from one time to the next, with what it remembers of the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor

from mcf_bundle.diffusion.ddim import ddim_step
from mcf_bundle.diffusion.dpm_solver import data_step, extrapolate_clean
from mcf_bundle.diffusion.noising import estimate_clean
from mcf_bundle.diffusion.unipc import SolverPoint, correct
from mcf_bundle.errors import ArgumentError


class Solver(Protocol):
    """Walks through the times of one batch, in order; a new one for each batch."""

    def step(self, x_t: Tensor, epsilon: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor) -> Tensor:
        """Return x at t_next from the state at t and the noise estimated in it."""


class DDIM:
    """First order: `ddim_step`, with fresh noise where eta > 0.

    Args:
        eta: 0 is deterministic.
        draw_noise: called for each step that draws noise.
    """

    def __init__(self, eta: float, draw_noise: Callable[[], Tensor]) -> None:
        self.eta, self.draw_noise = eta, draw_noise

    def step(self, x_t: Tensor, epsilon: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor) -> Tensor:
        """Return x at t_next; see `Solver`."""
        noise = self.draw_noise() if self.eta > 0 else None
        return ddim_step(x_t, epsilon, alpha_bar, alpha_bar_next, eta=self.eta, noise=noise)


class DPMSolver:
    """Second order: DPM-Solver++(2M), which remembers the estimate of the step before."""

    def __init__(self) -> None:
        self.before: tuple[Tensor, Tensor] | None = None

    def step(self, x_t: Tensor, epsilon: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor) -> Tensor:
        """Return x at t_next; see `Solver`."""
        x_0 = estimate_clean(x_t, epsilon, alpha_bar)
        used = x_0 if self.before is None else extrapolate_clean(x_0, *self.before, alpha_bar, alpha_bar_next)
        self.before = x_0, alpha_bar
        return data_step(x_t, used, alpha_bar, alpha_bar_next)


class UniPC:
    """Second-order predictor (that of DPM-Solver++) with UniPC's corrector: no further network calls."""

    def __init__(self) -> None:
        self.here: SolverPoint | None = None
        self.before: SolverPoint | None = None

    def step(self, x_t: Tensor, epsilon: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor) -> Tensor:
        """Return x at t_next; see `Solver`."""
        x_0 = estimate_clean(x_t, epsilon, alpha_bar)
        used = x_0
        if self.here is not None:
            x_t = correct(self.here, x_0, alpha_bar, self.before)
            used = extrapolate_clean(x_0, self.here.x_0, self.here.alpha_bar, alpha_bar, alpha_bar_next)
        self.before, self.here = self.here, SolverPoint(x_t, x_0, alpha_bar)
        return data_step(x_t, used, alpha_bar, alpha_bar_next)


class SolverKind(NamedTuple):
    """How a solver is made, from eta and the source of its noise, and whether it can draw noise at all."""

    make: Callable[[float, Callable[[], Tensor]], Solver]
    draws_noise: bool


SOLVERS: dict[str, SolverKind] = {
    "ddim": SolverKind(DDIM, draws_noise=True),
    "dpm_solver": SolverKind(lambda eta, draw_noise: DPMSolver(), draws_noise=False),
    "unipc": SolverKind(lambda eta, draw_noise: UniPC(), draws_noise=False),
}
"""Solvers by the name that a config gives."""


def make_solver(name: str, *, eta: float, draw_noise: Callable[[], Tensor]) -> Solver:
    """Make a solver for one batch.

    Args:
        name: a key of `SOLVERS`.
        eta: 0 is deterministic, 1 draws as much noise as DDPM.
        draw_noise: source of the noise that eta > 0 needs.

    Raises:
        ArgumentError: for another name, or eta > 0 with a solver that draws no noise.
    """
    check_solver(name, eta)
    return SOLVERS[name].make(eta, draw_noise)


def check_solver(name: str, eta: float) -> None:
    """Refuse what `make_solver` cannot make.

    Raises:
        ArgumentError: for another name, or eta > 0 with a solver that draws no noise.
    """
    if name not in SOLVERS:
        raise ArgumentError("solver", f"{name!r} does not exist", f"choose one of {', '.join(SOLVERS)}")
    if eta > 0 and not SOLVERS[name].draws_noise:
        noisy = ", ".join(other for other, kind in SOLVERS.items() if kind.draws_noise)
        problem = f"{eta} with solver {name!r}, which draws no noise"
        raise ArgumentError("eta", problem, f"choose {noisy}, or 0")
