"""From a dataset on disk to a balanced one: plan, networks, gate, loop, output."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch

from mcf_bundle.arguments import as_path, check_count, check_flag, check_instance, check_seed
from mcf_bundle.data.datalist import Datalist, read_datalist, split_digest
from mcf_bundle.data.lgg import Cohort, read_cohort
from mcf_bundle.data.pseudonyms import Naming, make_naming
from mcf_bundle.diffusion.inferer import FusionInferer
from mcf_bundle.errors import ArgumentError, GateError, IncompleteError, PlanError
from mcf_bundle.folder_lock import check_unclaimed, claimed
from mcf_bundle.generation.block_size import BlockSize, OnOom, check_on_oom
from mcf_bundle.generation.composite import Blend
from mcf_bundle.generation.gate import GateLimits, GateResult
from mcf_bundle.generation.gate_fit import TumorProbability, fit_gate
from mcf_bundle.generation.loop import Machinery, Outcome, run_plan
from mcf_bundle.generation.nearest import SliceGallery
from mcf_bundle.generation.networks import Networks, classifier_warnings
from mcf_bundle.generation.output_folder import check_output_dir, prepare_output_dir
from mcf_bundle.generation.pairing import PairSearch, share_warnings
from mcf_bundle.generation.plan import Plan, summarize_plan
from mcf_bundle.generation.rules import GenerationRules
from mcf_bundle.generation.run_output import Provenance, RunOutput, estimate_bytes
from mcf_bundle.generation.run_report import PoolCounts, RunFacts
from mcf_bundle.generation.source import GenerationSource, check_unseen, split_around
from mcf_bundle.processes import check_same, in_first
from mcf_bundle.run_record import device_name

logger = logging.getLogger(__name__)

CKPT_IDS = {"denoiser": "ckpt", "classifier": "classifier_ckpt", "gate": "gate_ckpt"}
"""Argument that names each network's checkpoint, for error messages."""

BALANCE = "balance"
"""`num_images` that makes as many tumor slices as healthy ones among the training patients."""


@dataclass(frozen=True)
class ComputeSettings:
    """What decides how the networks round, and is recorded for it.

    Attributes:
        compute_batch: images in each network call.
        num_threads: CPU threads; None takes what torch chose.
        batch_size: rows read ahead of the networks; changes no byte.
        on_oom: see `BlockSize`; no part of the plan, so that a run can go on with another one.
    """

    compute_batch: int = 8
    num_threads: int | None = None
    batch_size: int = 8
    on_oom: OnOom = "stop"

    def __post_init__(self) -> None:
        check_on_oom(self.on_oom)
        counts = {"compute_batch": self.compute_batch, "batch_size": self.batch_size}
        if self.num_threads is not None:
            counts["num_threads"] = self.num_threads
        for name, value in counts.items():
            check_count(name, value)

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Let torch have the number of threads, if one is asked for, and what it had afterwards.

        The plan records what holds; what runs later in this process must not depend on it.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(self.num_threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)


class GenerationWorkflow:
    """Turn healthy slices of a dataset into tumor slices with their masks.

    Args:
        dataset_dir: folder in the LGG layout, or its parent.
        output_dir: where the images go.
        networks: the trained parts.
        inferer: the sampler.
        num_images: a number, or "balance".
        seed: seed of plan and noise.
        split_seed: seed of the split by patient.
        datalist: path of a datalist.json; None splits the dataset here, with all patients that a checkpoint
            saw in training pinned to the training set and those that chose it to the validation set.
        blend: "replace" or "add", see `compose`.
        harmonize: whether donors' intensities are matched to their hosts', see `compose`.
        compute: see `ComputeSettings`.
        rules: see `GenerationRules`.
        skip_bad_patients: leave damaged patients out.
        overwrite: replace another run's files in `output_dir`.
        provenance: "full", "pseudonymous" or "auto", see `make_naming`.
        dry_run: print the plan's summary and the disk it needs, write nothing.
    """

    def __init__(
        self,
        dataset_dir: str,
        output_dir: str,
        networks: Networks,
        inferer: FusionInferer,
        *,
        num_images: int | str = BALANCE,
        seed: int = 0,
        split_seed: int = 0,
        datalist: str | None = None,
        blend: Blend = "replace",
        harmonize: bool = True,
        compute: ComputeSettings | None = None,
        rules: GenerationRules | None = None,
        skip_bad_patients: bool = False,
        overwrite: bool = False,
        provenance: str = "auto",
        dry_run: bool = False,
    ) -> None:
        self.dataset_dir, self.output_dir = (
            as_path(dataset_dir, "dataset_dir"),
            as_path(output_dir, "output_dir"),
        )
        self.networks, self.inferer = networks, inferer
        self.composing = {"blend": blend, "harmonize": harmonize}
        self.num_images, self.seed, self.split_seed = num_images, seed, split_seed
        self.datalist_path = None if datalist is None else as_path(datalist, "datalist")
        self.compute, self.rules = compute or ComputeSettings(), rules or GenerationRules()
        self.skip_bad_patients, self.overwrite = skip_bad_patients, overwrite
        self.provenance, self.dry_run = provenance, dry_run
        _check_settings(num_images, {"seed": seed, "split_seed": split_seed}, blend)
        check_instance("rules", self.rules, GenerationRules)
        flags = {
            "harmonize": harmonize,
            "skip_bad_patients": skip_bad_patients,
            "overwrite": overwrite,
            "dry_run": dry_run,
        }
        for name, flag in flags.items():
            check_flag(name, flag)
        _check_start_step(inferer, networks)

    def run(self) -> Outcome | None:
        """Make the plan and run it.

        Started by torchrun, the processes share the images; the files are those of one process. A run that
        was cut off goes on: what is in the folder and whole is kept, and the files are those of one run.

        Returns:
            What became of the plan; None after a dry run.

        Raises:
            McfError: for bad data, settings, leaks, or an output folder that cannot be used; before anything
                is written.
            BusyError: if another job works in the output folder.
            GateError: if most images are rejected.
            IncompleteError: if images are missing because a row's spares ran out; everything else is written.
        """
        with self.compute.threads():
            return self._run()

    def _run(self) -> Outcome | None:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        check_output_dir(self.output_dir, plan_id="", overwrite=True)
        if not self.dry_run:
            in_first(partial(check_unclaimed, self.output_dir))
        logger.info("provenance is %s", self.naming[0])
        plan = self.plan
        of_shares = share_warnings(plan.rows, self.rules.pairing.max_patient_share)
        for warning in (*of_shares, *classifier_warnings(self.networks.describe())):
            logger.warning(warning)
        if self.dry_run:
            size = estimate_bytes(plan, self.cohort.volumes[0].image.shape[2:])
            lines = [
                *summarize_plan(plan),
                f"  about {size / 1e6:.1f} MB of disk in {self.output_dir}; nothing written",
            ]
            in_first(lambda: sys.stdout.write("\n".join(lines) + "\n"))
            return None
        for line in summarize_plan(plan):
            logger.info(line)
        # A key of the pseudonyms that cannot be kept is found here, before an earlier run is touched.
        check_same((plan.plan_id, self.naming[1](self.cohort.volumes[0].patient)))
        machinery = self._machinery()
        output = RunOutput(
            self.output_dir,
            plan,
            self.source.cases,
            self.datalist,
            Provenance(*self.naming, self.networks.hashes()),
            self.rules.pairing.placement,
        )
        outcome = Outcome()
        finish = partial(output.finish, outcome, self._facts(machinery.limits))
        with ExitStack() as claim:
            done = in_first(partial(self._begin, output, claim))
            try:
                run_plan(plan, machinery, output.keep, outcome, done=done)
            except GateError:
                # A run that is stopped still says what it made and what was rejected.
                in_first(finish)
                raise
            in_first(finish)
        logger.info("%d of %d images in %s", outcome.written, len(plan.rows), self.output_dir)
        if outcome.missing:
            raise IncompleteError(
                self.output_dir,
                f"{outcome.written} of {len(plan.rows)} images written, the gate rejected the others",
                "see report.html for the reasons; raise num_images or change the settings",
            )
        return outcome

    def _begin(self, output: RunOutput, claim: ExitStack) -> dict[int, list[GateResult]]:
        """Take the folder for this job, whose first process calls this alone, and see what is there."""
        claim.enter_context(claimed(self.output_dir))
        prepare_output_dir(self.output_dir, plan_id=output.plan_id, overwrite=self.overwrite)
        return output.begin()

    @cached_property
    def cohort(self) -> Cohort:
        """All readable patients."""
        cohort = read_cohort(self.dataset_dir, skip_bad_patients=self.skip_bad_patients)
        for patient, reason in cohort.skipped.items():
            logger.warning("left out %s: %s", patient, reason)
        return cohort

    @cached_property
    def _datalist_and_pinned(self) -> tuple[Datalist, list[str]]:
        checkpoints = {CKPT_IDS[role]: part.checkpoint for role, part in self.networks.named().items()}
        if self.datalist_path is None:
            return split_around(self.cohort, list(checkpoints.values()), self.split_seed)
        datalist = read_datalist(self.datalist_path)
        check_unseen(datalist, checkpoints)
        return datalist, []

    @property
    def datalist(self) -> Datalist:
        """Who trains, validates and tests."""
        return self._datalist_and_pinned[0]

    @property
    def pinned(self) -> list[str]:
        """Patients that were put into the training set because a checkpoint saw them."""
        return self._datalist_and_pinned[1]

    @cached_property
    def source(self) -> GenerationSource:
        """Training cases, hosts and donors."""
        return GenerationSource(self.cohort, self.datalist, self.rules.pool)

    @cached_property
    def naming(self) -> tuple[str, Naming]:
        """Kind of provenance, and how patients are named in the output."""
        return make_naming(self.provenance, [volume.patient for volume in self.cohort.volumes])

    @cached_property
    def plan(self) -> Plan:
        """The plan; the same data, settings and seed give the same one."""
        source = self.source
        count = self._count(source)
        settings = {**self.composing, **self.inferer.describe()}
        search = PairSearch(
            source.cases,
            source.hosts.members,
            source.donors.members,
            seed=self.seed,
            rules=self.rules.pairing,
            settings=settings,
        )
        rows = search.find(count)
        header = {
            "num_images": count,
            "seed": self.seed,
            "split_seed": self.split_seed,
            "split_digest": split_digest(self.datalist),
            "compute_batch": self.compute.compute_batch,
            "num_threads": torch.get_num_threads(),
            "device": device_name(self.device),
            "checkpoints": self.networks.hashes(),
            "provenance": self.naming[0],
            "rules": self.rules.describe(),
        }
        return Plan(header, tuple(rows), dict(search.tries))

    @property
    def device(self) -> torch.device:
        """Where the denoiser is."""
        return next(self.networks.denoiser.network.parameters()).device

    def _count(self, source: GenerationSource) -> int:
        if self.num_images != BALANCE:
            return int(self.num_images)
        count = source.healthy_count - source.tumor_count
        if count < 1:
            problem = f"{source.tumor_count} tumor and {source.healthy_count} healthy slices are balanced"
            raise PlanError("num_images", problem, "give a number")
        return count

    def _machinery(self) -> Machinery:
        """Put the parts together, with the gate fitted to this dataset's real tumors."""
        denoiser, source = self.networks.denoiser.network, self.source
        block = BlockSize(self.compute.compute_batch, on_oom=self.compute.on_oom)
        probability = TumorProbability(
            self.networks.gate.network,
            precision=self.inferer.precision,
            block=block,
            device=self.device,
        )
        gallery = SliceGallery(source.survey.cases)
        limits = in_first(
            lambda: fit_gate(
                source.survey.cases,
                source.validation_cases(),
                gallery,
                donor_rules=source.rules.donor,
                gate_rules=self.rules.gate,
                probability=probability,
            )
        )
        return Machinery(
            sample=lambda batch: self.inferer(batch, denoiser),
            tumor_probability=probability,
            limits=limits,
            gallery=gallery,
            cases=source.cases,
            rules=self.rules.pairing.placement,
            gate_rules=self.rules.gate,
            block=block,
            batch_size=self.compute.batch_size,
            device=self.device,
        )

    def _facts(self, limits: GateLimits) -> RunFacts:
        settings = {
            "num_images": self.num_images,
            "seed": self.seed,
            "split_seed": self.split_seed,
            **self.composing,
            **self.inferer.describe(),
            "provenance": self.naming[0],
            "max_patient_share": self.rules.pairing.max_patient_share,
            "max_rejected": self.rules.gate.max_rejected,
            "min_tried": self.rules.gate.min_tried,
        }
        source = self.source
        return RunFacts(
            limits=limits,
            hosts=PoolCounts.of(source.hosts),
            donors=PoolCounts.of(source.donors),
            pinned=self.pinned,
            skipped=self.cohort.skipped,
            settings=settings,
            networks=self.networks.describe(),
            naming=self.naming[1],
            batch_size=self.compute.batch_size,
        )


def _check_settings(num_images: Any, seeds: Mapping[str, Any], blend: str) -> None:
    if num_images != BALANCE and (
        isinstance(num_images, bool) or not isinstance(num_images, int) or num_images < 1
    ):
        raise ArgumentError(
            "num_images", f"expected a number of 1 or more, or {BALANCE!r}, got {num_images!r}", "correct it"
        )
    for name, seed in seeds.items():
        check_seed(name, seed)
    if blend not in ("replace", "add"):
        raise ArgumentError("blend", f"expected 'replace' or 'add', got {blend!r}", "choose one of the two")


def _check_start_step(inferer: FusionInferer, networks: Networks) -> None:
    start_step = inferer.settings.start_step
    used = ("denoiser", "classifier") if inferer.settings.guidance_scale else ("denoiser",)
    for name, part in networks.named().items():
        largest = part.checkpoint.info.get("max_step")
        if name in used and largest is not None and start_step > largest:
            problem = f"{start_step} is above {largest}, the largest step that the {name} was trained on"
            raise ArgumentError(
                "start_step", problem, f"choose {largest} or less, or train with a larger max_step"
            )
