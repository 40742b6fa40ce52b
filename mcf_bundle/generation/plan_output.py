"""The plan alone: printed, and written where a folder is asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mcf_bundle.atomic_file import write_atomically
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.output_folder import PLAN_FILE, prepare_output_dir
from mcf_bundle.generation.plan import summarize_plan
from mcf_bundle.generation.run_output import rename_patients

if TYPE_CHECKING:
    from mcf_bundle.generation.workflow import GenerationWorkflow


def write_plan(workflow: GenerationWorkflow, *, write: bool = True) -> None:
    """Print a workflow's plan in a few lines, and write ``plan.jsonl`` as its run would.

    Args:
        workflow: the workflow; its run in the same folder accepts the plan as its own. One with `dry_run`
            writes nothing.
        write: whether to write to the workflow's output folder.

    Raises:
        ArgumentError: the workflow is to overwrite an earlier run: a plan has no images to replace it by.
        McfError: for bad data, settings or leaks, or an output folder that cannot be used.
    """
    write = write and not workflow.dry_run
    if write and workflow.overwrite:
        raise ArgumentError(
            "overwrite", "a plan alone removes no run's files", "leave it out, and give a new output_dir"
        )
    with workflow.compute.threads():
        plan = workflow.plan
    lines = summarize_plan(plan)
    if write:
        text = rename_patients(plan.to_jsonl(), workflow.source.cases, workflow.naming[1])
        prepare_output_dir(workflow.output_dir, plan_id=plan.plan_id, overwrite=False)
        write_atomically(workflow.output_dir / PLAN_FILE, text.encode())
        lines.append(f"  written to {workflow.output_dir / PLAN_FILE}")
    sys.stdout.write("\n".join(lines) + "\n")
