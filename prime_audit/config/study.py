"""The study file as frozen models; every key of a study is declared here and nowhere else."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
AttackId = Literal["loss", "zlib", "min-k", "min-k++", "reference"]
ControlId = Literal["base", "own-module", "placebo"]

DEFAULT_ATTACKS: tuple[AttackId, ...] = ("loss", "zlib", "min-k", "min-k++", "reference")


class Section(BaseModel):
    """A part of a study: frozen, no unknown keys, no silent conversion of types, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataConfig(Section):
    """Where the users come from; without a path they are generated."""

    path: str | None = None
    layout: Literal["auto", "users", "per-pcs"] = "auto"
    sharers: Count | None = None
    targets: Count | None = None
    max_input_words: Count | None = None


class ModelConfig(Section):
    """The language model before any adaptation."""

    base: Annotated[str, Field(min_length=1)] = "tiny"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    revision: str | None = None
    offline: bool = True


class TrainingConfig(Section):
    """How modules are trained: LoRA rank and alpha, learning rate, passes over the data, scored tokens."""

    rank: Count = 8
    alpha: Positive = 8.0
    lr: Positive = 2e-4
    epochs: Count = 3
    loss: Literal["answer", "full"] = "answer"
    batch_size: Count = 8
    target_modules: Annotated[tuple[str, ...], Field(min_length=1)] = ("q_proj", "k_proj", "v_proj", "o_proj")
    max_tokens: Annotated[int, Field(ge=16)] = 512


class AdaptationConfig(Section):
    """Task adaptation on the public users; `lr: null` takes the learning rate of `training`."""

    max_items: Count | None = None
    epochs: Count = 1
    lr: Positive | None = None


class SharersConfig(Section):
    """Which sharers' modules a target may merge."""

    embedder: Literal["base"] = "base"
    per_target: Count = 3


class PretrainedMethod(Section):
    """The model as it came."""

    kind: Literal["pretrained"]
    id: Id = "pretrained"


class BaseMethod(Section):
    """The task-adapted model without any personal module."""

    kind: Literal["base"]
    id: Id = "base"


class RagMethod(Section):
    """The base with the `k` most fitting history items in its prompt."""

    kind: Literal["rag"]
    id: Id = "rag"
    k: Count = 2


class OppuMethod(Section):
    """One module trained for each target; `epochs: null` takes those of `training`."""

    kind: Literal["oppu"]
    id: Id = "oppu"
    epochs: Count | None = None


class UniformMethod(Section):
    """The mean of the sharers' modules, times `scale`."""

    kind: Literal["uniform"]
    id: Id = "uniform"
    scale: float = 1.0


class PrimeMethod(Section):
    """PriME: merge weights found by a gradient-free search for utility minus `alpha` times similarity.

    `budget` counts candidate weights, `population: null` lets the optimiser choose; `sigma` is the first
    step, `bound` the largest weight; `selection_fraction` of the history is held out to choose the result
    and `margin` is the gain it must show there over the base; `max_items` caps the items per evaluation.
    """

    kind: Literal["prime"]
    id: Id = "prime"
    alpha: NotNegative = 0.1
    budget: Count = 40
    population: Annotated[int, Field(ge=2)] | None = None
    sigma: Positive = 0.3
    bound: Positive = 1.5
    selection_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.4
    margin: NotNegative = 0.0
    max_items: Annotated[int, Field(ge=2)] | None = None
    space: Literal["exact"] = "exact"


MethodKind = Literal["pretrained", "base", "rag", "oppu", "uniform", "prime"]
METHOD_KINDS: Mapping[str, type[Section]] = MappingProxyType(
    {
        "pretrained": PretrainedMethod,
        "base": BaseMethod,
        "rag": RagMethod,
        "oppu": OppuMethod,
        "uniform": UniformMethod,
        "prime": PrimeMethod,
    }
)
AnyMethod = PretrainedMethod | BaseMethod | RagMethod | OppuMethod | UniformMethod | PrimeMethod


def _method_from_name(value: object) -> object:
    """A bare word stands for a method of that kind with its defaults."""
    return {"kind": value} if isinstance(value, str) else value


MethodConfig = Annotated[
    AnyMethod,
    Field(discriminator="kind"),
    BeforeValidator(_method_from_name, json_schema_input_type=AnyMethod | MethodKind),
]


def _list_or_name(value: object) -> str:
    return "list" if isinstance(value, list | tuple) else "name"


def _repeated(ids: Sequence[str]) -> str:
    """The first id that appears more than once, or nothing."""
    return next((name for name, count in Counter(ids).items() if count > 1), "")


class AuditConfig(Section):
    """What is attacked, how members are drawn, and which controls stand beside the methods."""

    design: Literal["holdout"] = "holdout"
    attacks: Annotated[
        Annotated[Literal["default"], Tag("name")]
        | Annotated[Annotated[tuple[AttackId, ...], Field(min_length=1)], Tag("list")],
        Discriminator(_list_or_name),
    ] = "default"
    controls: tuple[ControlId, ...] = ("base", "own-module", "placebo")
    canaries: None = None
    permutations: Annotated[int, Field(ge=1000)] = 2000  # a control fires at p < .001

    @property
    def attack_ids(self) -> tuple[AttackId, ...]:
        """The attacks by id, with `default` spelt out."""
        return DEFAULT_ATTACKS if self.attacks == "default" else self.attacks

    @model_validator(mode="after")
    def _no_repeats(self) -> "AuditConfig":
        for what, ids in (("attack", self.attack_ids), ("control", self.controls)):
            if repeated := _repeated(ids):
                raise ValueError(f"{what} '{repeated}' is listed twice")
        return self


class GateRule(Section):
    """Limits for one metric: `min` and `max` are absolute; method and attack narrow the metric down."""

    metric: Annotated[str, Field(min_length=1)]
    method: str | None = None
    attack: str | None = None
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _limits(self) -> "GateRule":
        if self.min is None and self.max is None:
            raise ValueError("a rule needs 'min' or 'max'")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("'min' is above 'max'")
        return self


class GateConfig(Section):
    """The rules that pass or fail a run."""

    rules: tuple[GateRule, ...] = ()


class ReportConfig(Section):
    """What the report says of itself."""

    title: str | None = None


class RunConfig(Section):
    """How the work is carried out; none of it changes a number."""

    executor: Literal["local"] = "local"
    workers: Count = 1
    threads_per_worker: Count | None = None


class StudyConfig(Section):
    """One configured evaluation: the whole study file with its defaults filled in."""

    schema_version: Literal[1]
    name: Id
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 7
    task: Annotated[str, Field(min_length=1)]
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    adaptation: AdaptationConfig = AdaptationConfig()
    sharers: SharersConfig = SharersConfig()
    methods: Annotated[tuple[MethodConfig, ...], Field(min_length=1)] = (
        BaseMethod(kind="base"),
        RagMethod(kind="rag"),
        OppuMethod(kind="oppu"),
        UniformMethod(kind="uniform"),
        PrimeMethod(kind="prime"),
    )
    audit: AuditConfig = AuditConfig()
    gate: GateConfig = GateConfig()
    report: ReportConfig = ReportConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "StudyConfig":
        if repeated := _repeated([method.id for method in self.methods]):
            raise ValueError(f"methods: the id '{repeated}' is used twice; give each method its own 'id'")
        for method in self.methods:
            # The names under which the controls appear in the results.
            if method.id.startswith("control-"):
                raise ValueError(f"methods: the id '{method.id}' is kept for controls; choose another")
            if method.id == "base" and method.kind != "base":
                raise ValueError("methods: the id 'base' is kept for the kind 'base'; choose another")
        if self.data.sharers is not None and self.sharers.per_target > self.data.sharers:
            wanted, there = self.sharers.per_target, self.data.sharers
            raise ValueError(f"sharers.per_target is {wanted}, but data.sharers is {there}")
        return self


def study_schema() -> dict[str, object]:
    """Return the JSON Schema of a study file, for editors.

    Returns:
        A JSON Schema (draft 2020-12) as a plain dict.
    """
    schema: dict[str, object] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema.update(StudyConfig.model_json_schema())
    return schema
