"""The section `audit` of a study file: attacks, designs, controls, and what their passes cost."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal, Self, get_args

from pydantic import Discriminator, Field, PlainSerializer, Tag, WrapValidator, model_validator
from pydantic import ValidatorFunctionWrapHandler as Handler

from prime_audit.config.plugins import ATTACKS, knows_attack, refuse_shadowing
from prime_audit.config.section import Count, Id, ListIsTuple, Section

# Scored from one pass of the audited model and one of the base.
DefaultAttack = Literal["loss", "zlib", "min-k", "min-k++", "reference", "ratio", "surp", "wbc", "ez"]
BuiltInAttack = Literal[
    "loss",
    "loss-sum",
    "zlib",
    "lowercase",
    "min-k",
    "min-k++",
    "reference",
    "reference-pretrained",
    "reference-2-decimals",
    "reference-bf16",
    "ratio",
    "neighbourhood",
    "recall",
    "con-recall",
    "surp",
    "dc-pdd",
    "camia",
    "wbc",
    "ez",
    "lira",
    "lira-offline",
    "rmia",
    "rmia-offline",
    "base-mia",
    "bavaria",
    "gradient-norm",
    "generation",
    "amplify",
]
ControlId = Literal["base", "own-module", "placebo", "without-sharer", "blind"]
CanaryType = Literal["random-token", "email", "phone", "card", "address", "code"]

DEFAULT_ATTACKS: tuple[DefaultAttack, ...] = get_args(DefaultAttack)
BUILT_IN_ATTACKS: tuple[BuiltInAttack, ...] = get_args(BuiltInAttack)
CANARY_TYPES: tuple[CanaryType, ...] = get_args(CanaryType)


def _known_attack(value: object, built_in: Handler) -> object:
    if isinstance(value, str) and value in BUILT_IN_ATTACKS:
        refuse_shadowing(ATTACKS, value)
        return built_in(value)
    return value if isinstance(value, str) and knows_attack(value) else built_in(value)


# Written out as plain text: a plug-in's name is none of the literals.
AttackId = Annotated[BuiltInAttack, WrapValidator(_known_attack), PlainSerializer(str, return_type=str)]
Methods = Annotated[tuple[Id, ...], ListIsTuple, Field(min_length=1)]


def _list_or_name(value: object) -> str:
    return "list" if isinstance(value, list | tuple) else "name"


class PassesConfig(Section):
    """Passes that only some attacks need, and what they cost; controls are always covered."""

    methods: Annotated[
        Methods | None,
        Field(description="Ids of the methods that these passes are run on; null: every one with a module."),
    ] = None
    targets: Annotated[
        Count | None,
        Field(
            description="Run them for the first so many targets; null: for all. The report marks it. Shadows "
            "and canaries keep to the same methods and targets, swaps and pools to the same targets."
        ),
    ] = None
    neighbours: Annotated[
        Count, Field(description="Copies of each record with some words changed, for neighbourhood.")
    ] = 10
    shots: Annotated[
        Count, Field(description="Records that are put before each record, for recall and con-recall.")
    ] = 4
    samples: Annotated[
        Count, Field(description="Texts generated from each record's prompt, for generation.")
    ] = 2
    population: Annotated[
        Count,
        Field(description="At most so many queries, which nobody trained on, for camia and both rmia."),
    ] = 100


class ShadowsConfig(Section):
    """Shadow sharers: `count` modules on half-splits of a sharer's whole history, in complementary pairs.

    They pass through the same merge as the audited modules, with the deployed merge weights (`frozen`) or
    with the method run again on them (`remade`). `sharers: null` gives every sharer shadows; otherwise the
    first so many, and the modules of the others stay as they are.
    """

    count: Annotated[int, Field(ge=8, multiple_of=2)] = 8
    sharers: Count | None = None
    weights: Literal["frozen", "remade"] = "frozen"


class SwapsConfig(Section):
    """Matched swaps: for `records` members of each sharer a module that holds a held-out record instead.

    The modules pass through the merges of `methods` with the weights as they were and with the method run
    again.
    """

    records: Count = 1
    methods: Methods | None = None


class PoolsConfig(Section):
    """Sharer-level swap: a coin puts each sharer in one of two pools, and each pool is merged by itself."""

    methods: Methods | None = None


class CanariesConfig(Section):
    """Canaries: made-up secrets, each of which a coin plants in a sharer's training or leaves out.

    `sharers: null` gives every sharer canaries; otherwise at most the first so many. Each draws `per_cell`
    secrets of each of the `types` for each of the `repetitions`, the number of times that a planted one is
    trained on. Exposure ranks a secret among so many `candidates`. With `samples`, so many texts are sampled
    from the words before a secret of each type, and some from the first half of each, and are searched.
    """

    sharers: Count | None = None
    types: Annotated[tuple[CanaryType, ...], Field(min_length=1)] = CANARY_TYPES
    repetitions: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 4, 16)
    per_cell: Count = 1
    candidates: Annotated[int, Field(ge=100, le=10**6)] = 1024  # one is picked from a hundred
    samples: Annotated[int, Field(ge=0, le=10**5)] = 0

    @model_validator(mode="after")
    def _all_different(self) -> Self:
        for what, listed in (("type", self.types), ("repetition", self.repetitions)):
            if repeated := first_repeated([str(value) for value in listed]):
                raise ValueError(f"{what} '{repeated}' is listed twice")
        return self


class MaliciousConfig(Section):
    """A merger who cheats, on the merges that planted secrets are looked for in.

    The merger deploys a victim's module alone, or crafts one module out of those that were shared, which a
    method then merges as it would any other.
    """


class PosingConfig(Section):
    """A sharer who poses as the target's like, to be selected, on the targets of `passes`.

    For each target it is the least similar sharer, who hands in the module that they have, times `scale`, and
    claims a history of so many of the target's past `items`, with their answers as reviews and articles are
    published (`knows: history`), or the questions alone.
    """

    items: Count = 3
    knows: Literal["history", "questions"] = "history"
    scale: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.0


class BlackBoxConfig(Section):
    """Linkage from likelihoods: is each sharer, merged or not, in what was deployed for a target?

    `methods` names merging methods, and `targets` says for the first how many targets their models are asked;
    `null` means all. Each model then scores the records of all sharers.
    """

    methods: Methods | None = None
    targets: Count | None = None


class AuditConfig(Section):
    """What is attacked, how members are drawn, and which controls stand beside the methods.

    `design: holdout` flips a coin for every record; `prime-paper` is the published protocol, which compares
    different people's records, is printed with its confounds and states no leak. `attacks` is `default` (one
    pass of the model and one of the base), `all`, or a list; `primary` names beforehand the one whose figures
    stand first (`null`: `reference`, or the first that is listed). `premise` attacks that many of the merges
    that PriME evaluated for each target, to see whether less similarity means less leakage. `linkage` asks
    whether the deployed adapters give away whose modules are in them, `linkage_black_box` whether likelihoods
    do; `attributes` asks whether modules give away what kind of person a sharer is, and merge weights and the
    choice of sharers what kind of person the target is. `prompt_leak` asks deployed prompts to repeat the
    history that stands in them.
    """

    design: Literal["holdout", "prime-paper"] = "holdout"
    attacks: Annotated[
        Annotated[Literal["default", "all"], Tag("name")]
        | Annotated[Annotated[tuple[AttackId, ...], Field(min_length=1)], Tag("list")],
        Discriminator(_list_or_name),
    ] = "default"
    primary: AttackId | None = None
    controls: tuple[ControlId, ...] = ("base", "own-module", "placebo", "blind")
    passes: PassesConfig = PassesConfig()
    shadows: ShadowsConfig | None = None
    swaps: SwapsConfig | None = None
    pools: PoolsConfig | None = None
    canaries: CanariesConfig | None = None
    malicious: MaliciousConfig | None = None
    posing: PosingConfig | None = None
    linkage: bool = False
    linkage_black_box: BlackBoxConfig | None = None
    attributes: bool = False
    prompt_leak: bool = False
    premise: Count | None = None
    permutations: Annotated[int, Field(ge=1000)] = 2000  # a control fires at p < .001

    @property
    def attack_ids(self) -> tuple[str, ...]:
        """The attacks by id, with `default` and `all` spelt out."""
        if self.attacks == "default":
            return DEFAULT_ATTACKS
        return BUILT_IN_ATTACKS if self.attacks == "all" else self.attacks

    @property
    def run_controls(self) -> tuple[ControlId, ...]:
        """The controls that the design has a use for: the published one has no held-out records."""
        if self.design == "holdout":
            return self.controls
        return tuple(control for control in self.controls if control in ("base", "blind"))

    @property
    def primary_attack(self) -> str:
        """The attack that was named beforehand."""
        if self.primary is not None:
            return self.primary
        return "reference" if "reference" in self.attack_ids else self.attack_ids[0]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.primary is not None and self.primary not in self.attack_ids:
            raise ValueError(f"'primary' is {self.primary}, which is not among the attacks")
        if self.malicious is not None and self.canaries is None:
            raise ValueError("'malicious' brings out planted secrets and needs 'canaries'")
        for what, ids in (("attack", self.attack_ids), ("control", self.controls)):
            if repeated := first_repeated(ids):
                raise ValueError(f"{what} '{repeated}' is listed twice")
        if self.design == "prime-paper":
            needing = ("shadows", "swaps", "pools", "canaries", "posing", "premise", "linkage_black_box")
            for name in needing:
                if getattr(self, name) is not None:
                    raise ValueError(f"'{name}' needs 'design: holdout'")
            if self.prompt_leak:
                raise ValueError("'prompt_leak' compares with held-out records and needs 'design: holdout'")
        return self


def first_repeated(ids: Sequence[str]) -> str:
    """Return the first id that appears more than once, or nothing."""
    return next((name for name, count in Counter(ids).items() if count > 1), "")
