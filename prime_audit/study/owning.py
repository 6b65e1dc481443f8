"""Trains the module of one target for one method, and reads back how that went."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from prime_audit.config import MethodConfig, TrainedSettings
from prime_audit.core import plural
from prime_audit.data import by_date
from prime_audit.errors import ConfigError
from prime_audit.models import Example
from prime_audit.modules import read_record, train_personal, write_module, write_record
from prime_audit.personalize import METHODS, TargetContext, resolved, stopping_of
from prime_audit.study.contexts import context_of
from prime_audit.study.units import Output
from prime_audit.study.workbench import Workbench, own_unit


def train_own(bench: Workbench, method: MethodConfig, target: str, similarity: Mapping[str, float]) -> Output:
    """Trains a target's own module on what the method says, or finds it in the store.

    Args:
        bench: The workbench.
        method: A method that needs the target's own module.
        target: The target.
        similarity: The sharers selected for the target, where the method trains on sharers' records too.

    Returns:
        Whether it was there already, and its `TrainingRecord`.

    Raises:
        ConfigError: The examples do not end with the target's records, the oldest first: one that was not
            trained on would count as a member, and early stopping would set others aside than the audit.
    """
    name = own_unit(method.id, target)
    examples = METHODS[method.kind].examples
    assert examples is not None  # noqa: S101 - only such methods are planned

    def write(folder: Path) -> None:
        context = context_of(bench, method, target, similarity)
        # The method of a plug-in may have settings of another kind, and is trained as the study says.
        own = method if isinstance(method, TrainedSettings) else None
        given = examples(context, method)
        _check_examples(method.id, context, given)
        module, record = train_personal(
            bench.base,
            given,
            context.training if own is None else resolved(own, context.training),
            # The same for every such method: they differ in what is trained on and how.
            bench.training_seeds.integer("train", target),
            None if own is None else stopping_of(own),
            choosable=len(context.target.history),
        )
        write_module(module, folder, bench.base.name)
        write_record(record, folder)

    reused = bench.store.ensure(bench.keys[name], write)
    record = read_record(bench.store.path(bench.keys[name]))
    return {"reused": reused, **record.model_dump(mode="json")}


def _check_examples(method: str, context: TargetContext, given: Sequence[Example]) -> None:
    """Refuses examples that do not end with the target's records in order: their answers, asked with them."""
    history, past = context.target.history, context.task.past
    wanted = [history[place] for place in by_date(history)]
    last = given[-len(wanted) :]
    # A prompt that is longer than the context is cut at training, not here.
    if len(last) == len(wanted) and all(
        one.completion == past.completion(item.answer or "") and item.input in one.prompt
        for one, item in zip(last, wanted, strict=True)
    ):
        return
    raise ConfigError(
        f"method {method} trains on {plural(len(given), 'example')} for {context.target.id}, and the last "
        f"ones are not the target's {plural(len(wanted), 'record')}, the oldest first: one that is not "
        "trained on is no member",
        hint="let its examples end with every record of the target's history, in the order of by_date, each "
        "with the record's input in its prompt and its answer as the completion",
    )
