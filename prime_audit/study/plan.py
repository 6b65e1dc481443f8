"""The plan of a study: every unit with its key, known before any compute."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np

from prime_audit.config import MethodConfig, StudyConfig
from prime_audit.core import Seeds, digest_json
from prime_audit.data import Dataset, Item, draw_holdout
from prime_audit.errors import ConfigError, DataError
from prime_audit.modules import GateSettings
from prime_audit.personalize import METHODS
from prime_audit.study import work
from prime_audit.study.inputs import load_dataset
from prime_audit.study.store import Store, default_store
from prime_audit.study.units import Output, Outputs, Unit, unit_key
from prime_audit.study.workbench import Workbench

PLACEBO = "control-placebo"
OWN_MODULE = "control-own-module"


class Planner:
    """Builds the units of one study in an order in which each follows what it needs."""

    def __init__(self, bench: Workbench, model: Mapping[str, str]) -> None:
        """Plans for a workbench; see ``plan``.

        Args:
            bench: The workbench whose units are planned.
            model: Digest of the pretrained model's files, its dtype and device.
        """
        self.bench = bench
        self.config = bench.config
        self.units: list[Unit] = []
        self.keys: dict[str, str] = {}
        bench.keys = self.keys
        self._root = {
            "model": dict(model),
            "max_tokens": self.config.training.max_tokens,
            "seed": self.config.seed,
            "task": digest_json(asdict(bench.dataset.task)),
            "max_input_words": self.config.data.max_input_words,
        }

    def add(
        self,
        name: str,
        part: Mapping[str, Any],
        needs: Iterable[str],
        run: Callable[[Outputs], Output],
    ) -> None:
        """Adds one unit; what it needs must have been added before."""
        if name in self.keys:
            raise ConfigError(f"two units are called {name}", hint="give the methods other ids")
        key = unit_key(name, part, tuple(self.keys[other] for other in needs))
        self.keys[name] = key
        stage = name.split("/")[0]
        artefact = None
        if stage in ("adapt", "train", "gate"):
            artefact = self.bench.store.path(key)
        elif stage == "score":
            artefact = self.bench.evidence_path(name)
        elif stage == "deploy":
            artefact = self.bench.adapter_path(*name.split("/")[1:])
        self.units.append(Unit(name=name, stage=stage, key=key, run=run, artefact=artefact))

    def adapt(self) -> list[str]:
        """Plans the task adaptation if there is anything public to adapt on; returns its name in a list."""
        items = adaptation_items(self.config, self.bench.dataset)
        if not items:
            return []
        part = {
            **self._root,
            **_trainer(),
            "training": self.config.training.model_dump(mode="json"),
            "adaptation": self.config.adaptation.model_dump(mode="json"),
            "items": _digest_items(items),
        }
        self.add("adapt", part, (), lambda outputs: work.adapt_base(self.bench, items))
        return ["adapt"]

    def train(self, user: str, epochs: int | None, needs: list[str]) -> str:
        """Plans the training of one user's module on its IN half."""
        name = f"train/{user}"
        part = {
            **self._root,
            **_trainer(),
            "training": self.config.training.model_dump(mode="json"),
            "epochs": epochs,
            "items": _digest_items(self.bench.seen(self.bench.dataset.user(user)).history),
        }
        self.add(name, part, needs, lambda outputs: work.train(self.bench, user, epochs))
        return name

    def gate(self, sharer: str, settings: GateSettings) -> str:
        """Plans the training of the gates of one sharer's module, on the same records."""
        name = f"gate/{sharer}"
        part = {
            **self._root,
            **_trainer(),
            "steps": settings.steps,
            "lr": settings.lr,
            "batch_size": settings.batch_size,
        }
        self.add(name, part, (f"train/{sharer}",), partial(_alone, work.gate, self.bench, sharer, settings))
        return name

    def evaluate(self, method: MethodConfig, target: str, needs: list[str]) -> None:
        """Plans personalisation, answers and evidence of one method for one target."""
        about = METHODS[method.kind].subject
        name = f"deploy/{method.id}/{target}"
        user = self.bench.dataset.user(target)
        part = {
            **self._root,
            "method": method.model_dump(mode="json"),
            "items": _digest_items(self.bench.seen(user).history),
            "queries": _digest_items(user.queries),
        }

        def run_deploy(outputs: Outputs) -> Output:
            similarity = outputs["select"]["selected"][target] if about == "sharer" else {}
            return work.deploy(self.bench, method, target, similarity)

        self.add(name, part, needs, run_deploy)
        if about is None:
            return
        scoring = f"score/{method.id}/{target}"

        def run_score(outputs: Outputs) -> Output:
            subjects = list(outputs["select"]["selected"][target]) if about == "sharer" else [target]
            return work.score_deployed(self.bench, scoring, outputs[name], subjects)

        self.add(scoring, self._histories(), (name, *self._base_scores(about == "sharer", target)), run_score)

    def base_scores(self, users: Iterable[str], needs: list[str]) -> None:
        """Plans one scoring pass of the base per audited user."""
        for user in users:
            name = f"score/base/{user}"
            items = self.bench.dataset.user(user).history
            part = {**self._histories(), "items": _digest_items(items)}
            self.add(name, part, needs, partial(_alone, work.score_base, self.bench, user))

    def own_modules(self) -> None:
        """Plans the upper reference: each sharer's own module on its own history."""
        for sharer in self.bench.dataset.sharers:
            name = f"score/{OWN_MODULE}/{sharer.id}"
            needs = (f"train/{sharer.id}", f"score/base/{sharer.id}")
            self.add(
                name,
                self._histories(),
                needs,
                partial(_alone, work.score_merge, self.bench, name, [sharer.id], [1.0], [sharer.id]),
            )

    def placebos(self) -> None:
        """Plans the placebo: a merge of as many other sharers, attacked for the selected ones."""
        names = [sharer.id for sharer in self.bench.dataset.sharers]
        for target in self.bench.dataset.targets:
            name = f"score/{PLACEBO}/{target.id}"

            def run(outputs: Outputs, name: str = name, target: str = target.id) -> Output:
                selected = list(outputs["select"]["selected"][target])
                others = [other for other in names if other not in selected]
                rng = self.bench.seeds.generator("placebo", target)
                chosen = sorted(rng.choice(others, size=min(len(selected), len(others)), replace=False))
                weights = [1 / len(chosen)] * len(chosen)
                return work.score_merge(self.bench, name, [str(c) for c in chosen], weights, selected)

            trained = [f"train/{other}" for other in names]
            self.add(name, self._histories(), ("select", *trained, *self._base_scores(True, "")), run)

    def _histories(self) -> dict[str, Any]:
        """What a scoring of deployed modules depends on beside the units it names."""
        # Tokens are numbered over all histories, so evidence depends on the whole data.
        data = self.bench.dataset.digest
        return {**self._root, "loss": self.config.training.loss, "data": data}

    def _base_scores(self, merging: bool, target: str) -> list[str]:
        if merging:
            return [f"score/base/{sharer.id}" for sharer in self.bench.dataset.sharers]
        return [f"score/base/{target}"]


def plan(bench: Workbench, model: Mapping[str, str]) -> list[Unit]:
    """Plans a whole study and gives the workbench the keys of its units.

    Args:
        bench: The workbench.
        model: Digest of the pretrained model's files, its dtype and device.

    Returns:
        Units in an order in which each follows what it needs.

    Raises:
        ConfigError: If the study asks for what its data cannot give.
    """
    config, dataset = bench.config, bench.dataset
    check_feasible(bench)
    planner = Planner(bench, model)
    adapted = planner.adapt()
    kinds = [METHODS[method.kind] for method in config.methods]
    merging = any(kind.subject == "sharer" for kind in kinds)
    own = next((m for m in config.methods if METHODS[m.kind].needs_own_module), None)
    sharers = [sharer.id for sharer in dataset.sharers] if merging else []
    targets = [target.id for target in dataset.targets]
    trained = [planner.train(sharer, None, adapted) for sharer in sharers]
    own_epochs = getattr(own, "epochs", None)
    own_trained = {t: planner.train(t, own_epochs, adapted) for t in targets} if own else {}
    gated: Any = next((m for m in config.methods if METHODS[m.kind].needs_gates), None)
    gates = [planner.gate(sharer, gated) for sharer in sharers] if gated else []
    if merging:
        part = {"per_target": config.sharers.per_target, "embedder": config.sharers.embedder}
        histories = _digest_items([i for user in dataset.users for i in bench.seen(user).history])
        planner.add(
            "select",
            {**planner._root, **part, "histories": histories},
            adapted,
            lambda outputs: work.select(bench),
        )
    planner.base_scores([*sharers, *own_trained], adapted)
    for method in config.methods:
        shared = [*trained, *gates] if METHODS[method.kind].needs_gates else trained
        for target in targets:
            planner.evaluate(method, target, _needs(method, target, adapted, shared, own_trained))
    if merging and "own-module" in config.audit.controls:
        planner.own_modules()
    if merging and "placebo" in config.audit.controls:
        planner.placebos()
    return planner.units


def _trainer() -> dict[str, str]:
    """The libraries that a trained module depends on; the store outlives their updates."""
    return {name: metadata.version(name) for name in ("torch", "transformers", "peft")}


def _alone(do: Callable[..., Output], *arguments: object) -> Output:
    """Runs work that reads no other unit's output; the executor passes the outputs last."""
    return do(*arguments[:-1])


def _needs(
    method: MethodConfig, target: str, adapted: list[str], shared: list[str], own: dict[str, str]
) -> list[str]:
    kind = METHODS[method.kind]
    if kind.subject == "sharer":
        return [*adapted, *shared, "select"]
    return [*adapted, own[target]] if kind.needs_own_module else adapted


def check_feasible(bench: Workbench) -> None:
    """Refuses a study whose data cannot give what it asks for, before any compute.

    Raises:
        ConfigError: Named by the setting that cannot be met.
        DataError: Named by the users whose coin flips leave nothing to train on.
    """
    config, dataset = bench.config, bench.dataset
    merging = [method for method in config.methods if METHODS[method.kind].subject == "sharer"]
    if not dataset.targets:
        raise ConfigError("the data hold no target", hint="give at least one user the role 'target'")
    if merging and len(dataset.sharers) < config.sharers.per_target:
        raise ConfigError(
            f"sharers.per_target is {config.sharers.per_target}, but the data hold "
            f"{len(dataset.sharers)} sharers",
            hint="lower sharers.per_target or add sharers",
        )
    if merging and "placebo" in config.audit.controls and len(dataset.sharers) == config.sharers.per_target:
        raise ConfigError(
            "audit.controls: the placebo merges sharers that a target did not select, and none is left",
            hint="lower sharers.per_target, add sharers, or leave out the placebo",
        )
    empty = [user for user, flips in bench.holdout.flips.items() if not any(flips)]
    if empty:
        raise DataError(
            f"the coin flips leave no record to train on for: {', '.join(empty[:10])}",
            hint="these histories are too short for a hold-out design: leave the users out, or add records",
        )
    # What is trained beforehand is kept by user: two methods with other settings would need two of it.
    for need, what in (
        ("needs_own_module", "a module of every target"),
        ("needs_gates", "gates of every sharer"),
    ):
        owners = [method.id for method in config.methods if getattr(METHODS[method.kind], need)]
        if len(owners) > 1:
            raise ConfigError(
                f"methods {', '.join(owners)} would each train {what}", hint="keep one of them in a study"
            )


def adaptation_items(config: StudyConfig, dataset: Dataset) -> list[Item]:
    """Returns the public users' items that adapt the base: one per user in turn, up to ``max_items``.

    Args:
        config: The study.
        dataset: Its users.

    Returns:
        History items with an answer, drawn without replacement by the study's seed.
    """
    items = [item for user in dataset.public for item in user.history if item.answer]
    limit = config.adaptation.max_items
    if limit is None or limit >= len(items):
        return items
    # Which public items adapt the base is a fixed choice of the study's data, the same for every seed.
    chosen = sorted(np.random.default_rng(0).choice(len(items), size=limit, replace=False))
    return [items[i] for i in chosen]


def describe_plan(config: StudyConfig) -> list[tuple[str, int]]:
    """Counts a study's units by stage without loading a model.

    Args:
        config: The study.

    Returns:
        Stage and number of units, in the order in which they run.
    """
    dataset = load_dataset(config)
    holdout = draw_holdout(dataset, Seeds(config.seed))
    bench = Workbench(config, dataset, holdout, Store(default_store()), default_store())
    return list(Counter(unit.stage for unit in plan(bench, {})).items())


def _digest_items(items: Iterable[Item]) -> str:
    return digest_json([[item.id, item.input, item.answer] for item in items])
