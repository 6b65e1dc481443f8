"""What the deployed models answered, in LaMP's submission format: written only where the study asks for it.

Answers may repeat what the models learnt from people, so they go to files of their own that no report reads.
"""

from collections.abc import Sequence
from pathlib import Path

from prime_audit.core import make_private_dir, read_json, write_json
from prime_audit.data import FORMS, User, check_query_ids, golds_file
from prime_audit.errors import DataError
from prime_audit.study.workbench import Workbench

FOLDER = "predictions"


def check_samples(bench: Workbench) -> None:
    """Refuses to keep answers that could not be told apart by the id of their query.

    Args:
        bench: The workbench.

    Raises:
        DataError: Two targets have a query with the same id.
    """
    if bench.config.report.include_samples:
        check_query_ids(bench.dataset.targets, "report.include_samples (--include-samples)")


def answers_path(bench: Workbench, method: str, target: str) -> Path | None:
    """Returns where a unit keeps the answers to a target's queries; None if the study keeps none.

    Args:
        bench: The workbench.
        method: The method's id.
        target: The target.

    Returns:
        The file.
    """
    return bench.out / FOLDER / method / f"{target}.json" if bench.config.report.include_samples else None


def keep_answers(bench: Workbench, method: str, user: User, outputs: Sequence[str]) -> None:
    """Writes what one method answered to one target's queries, if the study keeps answers.

    Args:
        bench: The workbench.
        method: The method's id.
        user: The target.
        outputs: One answer per query.
    """
    path = answers_path(bench, method, user.id)
    if path is not None:
        make_private_dir(make_private_dir(bench.out / FOLDER) / method)
        write_json(path, {query.id: said for query, said in zip(user.queries, outputs, strict=True)})


def write_predictions(bench: Workbench) -> None:
    """Writes one file per method with the answers to all targets' queries, if the study keeps answers.

    Args:
        bench: The workbench of the finished run.

    Raises:
        DataError: The answers that were kept do not match the queries one to one.
    """
    if not bench.config.report.include_samples:
        return
    task = bench.dataset.task.id
    name = FORMS[task].name if task in FORMS else task
    for method in bench.config.methods:
        answers: dict[str, str] = {}
        for target in bench.dataset.targets:
            path = bench.out / FOLDER / method.id / f"{target.id}.json"
            kept = read_json(path)
            if not isinstance(kept, dict) or set(kept) != {query.id for query in target.queries}:
                raise DataError(f"{path}: does not hold one answer per query", hint="use --fresh")
            answers |= kept
        write_json(bench.out / FOLDER / f"{method.id}.json", golds_file(name, answers))
