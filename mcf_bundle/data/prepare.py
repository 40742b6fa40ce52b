"""Write the datalist of a dataset."""

from __future__ import annotations

from pathlib import Path

from mcf_bundle.arguments import check_seed
from mcf_bundle.atomic_file import write_text
from mcf_bundle.data.datalist import make_datalist, read_datalist, summarize, to_json
from mcf_bundle.data.lgg import read_cohort


def prepare_dataset(
    dataset_dir: Path,
    output_dir: Path,
    *,
    split_seed: int = 0,
    split: str = "patient",
    skip_bad_patients: bool = False,
) -> str:
    """Read and check a dataset, split it, and write ``datalist.json`` to the output folder.

    Args:
        dataset_dir: folder in the LGG layout, or its parent.
        output_dir: made if missing.
        split_seed: seed of the split.
        split: "patient", or "slice" for the paper's leaking split.
        skip_bad_patients: leave damaged patients out and list them instead of stopping.

    Returns:
        A summary to print: patients, slices and tumor slices by split, and who was left out.

    Raises:
        DataError: for bad data, or an output folder that cannot be written.
        ArgumentError: for an unknown `split`.
    """
    check_seed("split_seed", split_seed)
    cohort = read_cohort(dataset_dir, skip_bad_patients=skip_bad_patients)
    datalist = make_datalist(cohort, split_seed=split_seed, split_by=split)
    path = output_dir / "datalist.json"
    if path.is_file():
        read_datalist(path)  # refuses a file that is no datalist, which must not be overwritten
    write_text(path, to_json(datalist))
    lines = [f"{path}: {len(datalist.entries)} slices of {len(cohort.volumes)} patients, split by {split}"]
    lines += [
        f"  {name:<10} {row['patients']:>4} patients {row['slices']:>6} slices {row['tumor']:>6} with tumor"
        for name, row in summarize(datalist.entries).items()
    ]
    if datalist.leaks:
        lines.append(
            "  this split leaks: slices of one patient stand in several splits; use it for comparison only"
        )
    lines += [f"  left out {patient}: {reason}" for patient, reason in datalist.skipped.items()]
    return "\n".join(lines)
