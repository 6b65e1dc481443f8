"""The study file as frozen models; every key of a study is declared here and nowhere else."""

import difflib
import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    Field,
    PlainSerializer,
    SerializationInfo,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from prime_audit.config.audit import AuditConfig, first_repeated
from prime_audit.config.methods import (
    AnyMethod,
    BaseMethod,
    MethodKind,
    PrimeMethod,
    UniformMethod,
)
from prime_audit.config.plugins import METHODS, method_settings, refuse_shadowing
from prime_audit.config.prompt_methods import RagMethod
from prime_audit.config.section import ID_PATTERN, Count, Id, MethodSettings, NotNegative, Positive, Section
from prime_audit.config.trained_methods import OppuMethod

_BUILT_IN: tuple[type[MethodSettings], ...] = get_args(AnyMethod)
METHOD_KINDS: Mapping[str, type[MethodSettings]] = MappingProxyType(
    {settings.model_fields["kind"].default: settings for settings in _BUILT_IN}
)


class DataConfig(Section):
    """Where the users come from; without a path they are generated.

    `layout: lamp` is LaMP's own: targets come from its dev split, sharers from the train split beside it or
    from `sharers_from`, which names a file of questions, a users.jsonl, or a folder in any layout. `sharers`,
    `targets` and `public` take the first so many of each; in LaMP's layout `public` takes users of the train
    split that come after the sharers, to adapt the base.
    """

    path: str | None = None
    layout: Literal["auto", "users", "per-pcs", "lamp"] = "auto"
    sharers_from: str | None = None
    public: Count | None = None
    sharers: Count | None = None
    targets: Count | None = None
    max_input_words: Count | None = None

    @model_validator(mode="after")
    def _sharers_beside_targets(self) -> Self:
        if self.sharers_from is not None and self.path is None:
            raise ValueError("'sharers_from' (--sharers) needs 'path' (--data): whose sharers are they?")
        return self


class ModelConfig(Section):
    """The language model before any adaptation.

    `quantize: 4bit` (extra `gpu`) holds the weights of its linear layers in 4 bits (NF4) and computes in
    `dtype`. Whatever is trained on it stays in full.
    """

    base: Annotated[str, Field(min_length=1)] = "tiny"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    quantize: Literal["4bit"] | None = None
    revision: str | None = None
    offline: bool = True


class TrainingConfig(Section):
    """How modules are trained: LoRA rank and alpha, learning rate, passes over the data, scored tokens.

    `seed: null` takes the study's seed. Another one trains and searches anew on the same users, coin flips
    and base, which shows how much of a difference between two runs is chance.
    """

    rank: Count = 8
    alpha: Positive = 8.0
    lr: Positive = 2e-4
    epochs: Count = 3
    loss: Literal["answer", "full"] = "answer"
    batch_size: Count = 8
    target_modules: Annotated[tuple[str, ...], Field(min_length=1)] = ("q_proj", "k_proj", "v_proj", "o_proj")
    max_tokens: Annotated[int, Field(ge=16)] = 512
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None


class AdaptationConfig(Section):
    """Task adaptation on the public users; `lr: null` takes the learning rate of `training`."""

    max_items: Count | None = None
    epochs: Count = 1
    lr: Positive | None = None


class PrivacyConfig(Section):
    """Differential privacy of the sharers' modules: `epsilon` or `noise`, and the unit that is protected.

    `example` is DP-SGD over a sharer's records; `user` clips the whole module's change and adds noise once.
    `delta: null` is min(1e-5, 1 / (10 n)) for n records. `clip` bounds an example's gradient or the change.
    """

    unit: Literal["example", "user"] = "example"
    epsilon: Positive | None = None
    noise: Positive | None = None
    delta: Annotated[float, Field(gt=0, lt=1)] | None = None
    clip: Positive = 1.0

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.epsilon is None) == (self.noise is None):
            raise ValueError("give either 'epsilon' or 'noise'")
        return self


class SharersConfig(Section):
    """Which sharers' modules a target may merge, and how they are trained.

    `embedder` is `base` (the base model), `tfidf`, or a folder of a sentence-transformers model.
    `representatives` keeps that many sharers, the ones with the longest history in each K-means cluster.
    `calibration` sets a share of each sharer's records aside for a method that measures its own leak; the
    audit does not use them. `privacy` trains the modules with differential privacy.
    """

    embedder: Annotated[str, Field(min_length=1)] = "base"
    per_target: Count = 3
    representatives: Count | None = None
    calibration: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    privacy: PrivacyConfig | None = None


def _plugin_first(value: object, built_in: ValidatorFunctionWrapHandler) -> object:
    """A bare word stands for a method of that kind with its defaults; a plug-in brings its own settings."""
    section: object = {"kind": value} if isinstance(value, str) else value
    if isinstance(section, dict) and section.get("kind") == "official":
        refuse_shadowing(METHODS, "official")
        section = {**section, "kind": "prime", "preset": "official"}
    kind = section.get("kind") if isinstance(section, dict) else None
    if not isinstance(kind, str):
        return built_in(section)
    if kind in METHOD_KINDS:
        refuse_shadowing(METHODS, kind)
        return built_in(section)
    settings = method_settings(kind)
    if settings is None:
        return built_in(section)
    try:
        return settings.model_validate_json(json.dumps(section))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        keys = list(settings.model_fields)
        if first["type"] == "extra_forbidden":
            close = difflib.get_close_matches(where, keys, n=1)
            meant = f"did you mean '{close[0]}'?" if close else f"valid here: {', '.join(keys)}"
            raise ValueError(f"{kind}: unknown key '{where}'; {meant}") from error
        raise ValueError(f"{kind}: {where}: {first['msg']}") from error


def _as_plugin_or_built_in(method: MethodSettings, info: SerializationInfo) -> dict[str, object]:
    return method.model_dump(mode=info.mode)


MethodConfig = Annotated[
    AnyMethod,
    Field(discriminator="kind"),
    WrapValidator(_plugin_first, json_schema_input_type=AnyMethod | MethodKind),
    PlainSerializer(_as_plugin_or_built_in),
]


class GateRule(Section):
    """Limits for one metric; `method`, `attack` and `slice` narrow it down.

    `min` and `max` are absolute, `max_increase` and `max_decrease` say how far it may lie from a baseline's.
    One rule can be `primary`: it is tested at the full level, and all others are corrected together.
    `severity: warn` leaves the exit code alone. `min_n` asks for that many scored records. `on_missing` says
    whether a metric without a value is an error (exit code 4) or a failure (3).
    """

    metric: Annotated[str, Field(min_length=1)]
    method: str | None = None
    attack: str | None = None
    min: float | None = None
    max: float | None = None
    max_increase: NotNegative | None = None
    max_decrease: NotNegative | None = None
    slice: dict[str, str | int | float | bool] | None = None
    primary: bool = False
    severity: Literal["fail", "warn"] = "fail"
    min_n: Count | None = None
    on_missing: Literal["error", "fail"] = "error"

    @model_validator(mode="after")
    def _limits(self) -> "GateRule":
        relative = (self.max_increase, self.max_decrease)
        if all(limit is None for limit in (self.min, self.max, *relative)):
            raise ValueError("a rule needs 'min', 'max', 'max_increase' or 'max_decrease'")
        if self.primary and relative == (None, None):
            raise ValueError("only a rule with 'max_increase' or 'max_decrease' can be 'primary'")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("'min' is above 'max'")
        return self


class GateConfig(Section):
    """The rules that pass or fail a run."""

    rules: tuple[GateRule, ...] = ()

    @model_validator(mode="after")
    def _one_primary(self) -> "GateConfig":
        if sum(rule.primary for rule in self.rules) > 1:
            raise ValueError("only one rule can be 'primary': name the one that matters most")
        return self


class ReportConfig(Section):
    """What the report says of itself and how it looks, and whether the run keeps what the models said.

    `notes` are paragraphs, with blank lines between them. `stylesheet` is CSS that follows the page's own.

    `include_samples` (--include-samples) writes predictions/, one file per method in LaMP's submission
    format: the answers to the targets' queries, readable by their owner alone and in no report.
    """

    title: Annotated[str, Field(max_length=200)] | None = None
    organisation: Annotated[str, Field(max_length=200)] | None = None
    notes: Annotated[str, Field(max_length=4000)] | None = None
    stylesheet: str | None = None
    include_samples: bool = False


# A study that does not say so computes as many tokens at once.
BATCH_TOKENS = 4096


class RunConfig(Section):
    """How the work is carried out; none of it changes a number by more than rounding (1e-5).

    `executor` is `local` (this process, or several of this machine) or `ray` (extra `ray`) on the cluster at
    `address`, such as `auto`; `address: null` starts one on this machine. `threads_per_worker: null` takes
    all cores, shared out among several workers. `batch_tokens` is the most tokens in a batch, padding
    included; one that does not fit into memory is halved, and the manifest says how often.
    """

    executor: Literal["local", "ray"] = "local"
    workers: Count = 1
    threads_per_worker: Count | None = None
    address: str | None = None
    batch_tokens: Count = BATCH_TOKENS


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
        BaseMethod(),
        RagMethod(),
        OppuMethod(),
        UniformMethod(),
        PrimeMethod(),
    )
    audit: AuditConfig = AuditConfig()
    gate: GateConfig = GateConfig()
    report: ReportConfig = ReportConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "StudyConfig":
        if repeated := first_repeated([method.id for method in self.methods]):
            raise ValueError(f"methods: the id '{repeated}' is used twice; give each method its own 'id'")
        for method in self.methods:
            # A plug-in's settings may say of its id what they like.
            if not re.fullmatch(ID_PATTERN, method.id):
                raise ValueError(f"methods: '{method.id}' is no usable id: letters, digits, '.', '_' and '-'")
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
