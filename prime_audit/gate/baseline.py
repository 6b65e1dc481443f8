"""The committed file that later runs are compared with: figures and scores, without text, paths or times."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from prime_audit.core import digest_json, printable, read_json, write_json
from prime_audit.errors import ConfigError, DataError, IncompleteError
from prime_audit.gate.runs import Identity, Run, differences
from prime_audit.gate.schema import Frozen, Rule
from prime_audit.gate.select import Key, compared, key_of, part_of, units_of
from prime_audit.results import CI, Metric, UserRecords, UserRows, plain, read_model

BASELINE_VERSION: Final = 1
_LONGEST_REASON = 500


class Kept(Frozen):
    """One figure of one run; `units` are its values per target, `scores` those of single records."""

    id: str
    method: str | None
    attack: str | None
    subject: str | None
    part: dict[str, str]
    value: float
    ci: CI | None
    units: dict[str, float] = Field(default_factory=dict)
    scores: tuple[UserRows, ...] = ()

    @property
    def key(self) -> Key:
        """What names the figure in every run."""
        return (self.id, self.method, self.attack, self.subject, tuple(sorted(self.part.items())))

    @property
    def name(self) -> str:
        """The figure in words."""
        words = (self.id, self.method, self.attack, *(f"{key}={value}" for key, value in self.part.items()))
        return " ".join(word for word in words if word)


class KeptRun(Frozen):
    """One training seed."""

    config_digest: str
    metrics: tuple[Kept, ...]


class Change(Frozen):
    """Why the baseline was changed, and what it said from then on (means over its runs)."""

    reason: str
    runs: int
    values: dict[str, float]


class Baseline(Frozen):
    """What a run is compared with: the same figures of one or more training seeds on the same coin flips."""

    schema_version: Literal[1] = BASELINE_VERSION
    identity: Identity
    users: dict[str, UserRecords]
    runs: tuple[KeptRun, ...] = Field(min_length=1)
    history: tuple[Change, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        keys = [[one.key for one in run.metrics] for run in self.runs]
        if any(len(set(one)) != len(one) or one != keys[0] for one in keys):
            raise ValueError("every run of a baseline must hold the same figures, each once")
        for run in self.runs:
            for rows in (rows for one in run.metrics for rows in one.scores):
                count = len(self.users[rows.user].records) if rows.user in self.users else -1
                if any(len(row) != count for row in rows.scores):
                    raise ValueError(f"user '{rows.user}' needs one score per record")
        return self

    @property
    def digest(self) -> str:
        """Digest of the whole file."""
        return digest_json(plain(self))

    def kept(self, metric: Metric) -> list[Kept]:
        """Return a metric's figures, one per run; empty where the baseline does not hold it."""
        wanted = key_of(metric)
        return [one for run in self.runs for one in run.metrics if one.key == wanted]

    def means(self) -> dict[str, float]:
        """Return the mean of every figure over the runs, by its name."""
        first = self.runs[0].metrics
        return {
            one.name: sum(run.metrics[place].value for run in self.runs) / len(self.runs)
            for place, one in enumerate(first)
        }


def make_baseline(
    runs: Sequence[Run], rules: Sequence[Rule], reason: str, earlier: Baseline | None = None
) -> Baseline:
    """Make a baseline of one or more runs.

    Args:
        runs: Runs of one study on the same data and designs; they may differ in `training.seed` alone.
        rules: The gate's rules; what they compare with a baseline is what is kept.
        reason: Why the baseline is made or changed.
        earlier: The baseline that it replaces, whose history is kept.

    Returns:
        The baseline.

    Raises:
        ConfigError: There is no reason, or no rule compares with a baseline.
        IncompleteError: A run is not complete, lacks a figure, or cannot be compared with the first.
    """
    reason = printable(reason, _LONGEST_REASON)
    if not reason:
        raise ConfigError("--reason: say why the baseline is made or changed")
    relative = [r for r in rules if r.max_increase is not None or r.max_decrease is not None]
    if not relative:
        raise ConfigError(
            "no rule of the gate compares with a baseline", hint="give a rule max_increase or max_decrease"
        )
    identity = _common_identity(runs)
    kept = [
        KeptRun(config_digest=run.results.study.config_digest, metrics=_gated(run, relative)) for run in runs
    ]
    if any([one.key for one in other.metrics] != [one.key for one in kept[0].metrics] for other in kept):
        raise IncompleteError("the runs do not hold the same gated figures", hint="make all of them anew")
    named = {rows.user for one in kept[0].metrics for rows in one.scores}
    scores = runs[0].scores
    users = {user: entry for user, entry in scores.users.items() if user in named} if scores else {}
    attacks = {one.attack for one in kept[0].metrics}
    draft = Baseline(
        identity=identity.model_copy(
            update={"attacks": {name: v for name, v in identity.attacks.items() if name in attacks}}
        ),
        users=users,
        runs=tuple(kept),
        history=(Change(reason=reason, runs=len(kept), values={}),),
    )
    # As they will be read again: floats are rounded once, here.
    rounded = read_model(Baseline, plain(draft), Path("baseline"))
    change = Change(reason=reason, runs=len(kept), values=rounded.means())
    return rounded.model_copy(update={"history": (*(earlier.history if earlier else ()), change)})


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline; equal ones give equal bytes.

    Args:
        path: Where the file goes.
        baseline: The baseline.

    Raises:
        OutputError: The file cannot be written.
    """
    write_json(path, plain(baseline))


def read_baseline(path: Path) -> Baseline:
    """Read and check a baseline.

    Args:
        path: The file.

    Returns:
        The baseline.

    Raises:
        DataError: The file is missing, broken, or of another version.
    """
    document = read_json(path)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(document, dict) or "history" not in document:
        raise DataError(f"{path}: this is not a baseline", hint="`prime-audit baseline update` makes one")
    if version != BASELINE_VERSION:
        raise DataError(
            f"{path}: schema version {printable(str(version), 20)}; this program reads version "
            f"{BASELINE_VERSION}",
            hint="use the prime-audit version that wrote it, or make the baseline again",
        )
    return read_model(Baseline, document, path)


def _common_identity(runs: Sequence[Run]) -> Identity:
    digests = [run.results.study.config_digest for run in runs]
    for place, run in enumerate(runs):
        which = f"run {place + 1}"
        if run.results.status != "complete":
            raise IncompleteError(f"{which} is {run.results.status}: no baseline can be made of it")
        if run.identity is None or run.identity.data is None or not run.identity.design:
            raise IncompleteError(f"{which} names no data and no design: only runs of `evaluate` do")
        first = runs[0].identity
        if first is not None and (found := differences(run.identity, first)):
            raise IncompleteError(f"{which} cannot stand beside the first: it differs in {', '.join(found)}")
        if first is not None and run.identity.study != first.study:
            raise IncompleteError(
                f"{which} has other settings than the first", hint="only training.seed may differ"
            )
        if digests[place] in digests[:place]:
            raise IncompleteError(
                f"{which} repeats an earlier one", hint="give every run its own training.seed"
            )
    identity = runs[0].identity
    if identity is None:
        raise IncompleteError("there is no run to make a baseline of")
    return identity


def _gated(run: Run, rules: Sequence[Rule]) -> tuple[Kept, ...]:
    found: dict[Key, Kept] = {}
    for rule in rules:
        metrics = compared(run.results, rule)
        if not metrics:
            raise IncompleteError(f"the run has no {rule.metric} that the rule asks for")
        for metric in metrics:
            if metric.value is None:
                raise IncompleteError(f"{metric.id} of {metric.method} is {metric.status}: {metric.reason}")
            found.setdefault(key_of(metric), keep(run, metric, metric.value))
    return tuple(found.values())


def keep(run: Run, metric: Metric, value: float) -> Kept:
    """Take one figure out of a run, with the scores or the values per target that it rests on.

    Args:
        run: The run.
        metric: The figure.
        value: Its value.

    Returns:
        What a later run is compared with.
    """
    rows: tuple[UserRows, ...] = ()
    if run.scores is not None and metric.id == "mia.auc" and metric.slice is None:
        wanted = (metric.method, metric.attack, metric.subject)
        sets = [one.users for one in run.scores.sets if (one.method, one.attack, one.subject) == wanted]
        rows = sets[0] if sets else ()
    return Kept(
        id=metric.id,
        method=metric.method,
        attack=metric.attack,
        subject=metric.subject,
        part=dict(part_of(metric)),
        value=value,
        ci=metric.ci,
        units=units_of(run.results, metric),
        scores=rows,
    )
