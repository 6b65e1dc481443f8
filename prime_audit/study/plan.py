"""The plan of a study: every unit with its key, known before any compute."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np

from prime_audit.config import MethodConfig, PrimeMethod, PrivacyConfig, StudyConfig
from prime_audit.core import Seeds, digest_json
from prime_audit.data import Dataset, Item, draw_holdout
from prime_audit.errors import ConfigError
from prime_audit.modules import GateSettings
from prime_audit.personalize import METHODS
from prime_audit.study import work
from prime_audit.study.counterfactual import rerun_method, score_without
from prime_audit.study.feasible import check_feasible, named_by
from prime_audit.study.identity import identity_of
from prime_audit.study.inputs import load_dataset
from prime_audit.study.premise import attack_candidates, searching_methods
from prime_audit.study.store import Store, default_store
from prime_audit.study.units import Output, Outputs, Unit, unit_key
from prime_audit.study.workbench import Workbench

PLACEBO = "control-placebo"
OWN_MODULE = "control-own-module"
WITHOUT = "control-without-sharer"


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
        # A share of zero leaves every key as it was; which records are set aside follows from the seed.
        share = self.config.sharers.calibration
        self._calibration = {"calibration": share, "data": bench.dataset.digest} if share else {}
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

    def train(
        self, user: str, epochs: int | None, needs: list[str], privacy: PrivacyConfig | None = None
    ) -> str:
        """Plans the training of one user's module on its IN half."""
        name = f"train/{user}"
        part = {
            **self._root,
            **_trainer(),
            "training": self.config.training.model_dump(mode="json"),
            "epochs": epochs,
            "items": _digest_items(self.bench.seen(self.bench.dataset.user(user)).history),
        }
        if privacy is not None:
            library = {"opacus": metadata.version("opacus")} if privacy.unit == "example" else {}
            part["privacy"] = {**privacy.model_dump(mode="json"), **library}
        self.add(name, part, needs, lambda outputs: work.train(self.bench, user, epochs, privacy))
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
            "code": identity_of(method),
            **(self._calibration if about == "sharer" else {}),
        }

        def run_deploy(outputs: Outputs) -> Output:
            similarity = outputs["select"]["selected"][target] if about == "sharer" else {}
            of = named_by(method)
            others = (
                {of: work.outcome(self.bench, of, target, outputs[f"deploy/{of}/{target}"])} if of else {}
            )
            return work.deploy(self.bench, method, target, similarity, others)

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
            items = self.bench.holdout.audited(self.bench.dataset.user(user))
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
        """Plans the placebo: a merge of as many others of the pool, attacked for the selected sharers."""
        names = [sharer.id for sharer in self.bench.dataset.sharers]
        for target in self.bench.dataset.targets:
            name = f"score/{PLACEBO}/{target.id}"

            def run(outputs: Outputs, name: str = name, target: str = target.id) -> Output:
                selected = list(outputs["select"]["selected"][target])
                others = [other for other in outputs["select"]["pool"] if other not in selected]
                rng = self.bench.seeds.generator("placebo", target)
                chosen = sorted(rng.choice(others, size=min(len(selected), len(others)), replace=False))
                weights = [1 / len(chosen)] * len(chosen)
                return work.score_merge(self.bench, name, [str(c) for c in chosen], weights, selected)

            trained = [f"train/{other}" for other in names]
            self.add(name, self._histories(), ("select", *trained, *self._base_scores(True, "")), run)

    def without_sharers(self, trained: list[str]) -> None:
        """Plans the counterfactual: the first merging method again without the sharer that is attacked."""
        method = rerun_method(self.config)
        for target in self.bench.dataset.targets:
            name = f"score/{WITHOUT}/{target.id}"

            def run(outputs: Outputs, name: str = name, target: str = target.id) -> Output:
                similarity = outputs["select"]["selected"][target]
                return score_without(self.bench, name, method, target, similarity)

            gates = [key for key in self.keys if key.startswith("gate/")]
            settings = method.model_dump(mode="json")
            part = {**self._histories(), "method": settings, "code": identity_of(method)}
            self.add(name, part, ("select", *trained, *gates, *self._base_scores(True, "")), run)

    def premises(self, count: int) -> None:
        """Plans the attack on merges that the searches have evaluated."""
        for method in searching_methods(self.config):
            for target in self.bench.dataset.targets:
                deploy = f"deploy/{method.id}/{target.id}"

                def run(
                    outputs: Outputs,
                    method: PrimeMethod = method,
                    target: str = target.id,
                    deploy: str = deploy,
                ) -> Output:
                    sharers = list(outputs["select"]["selected"][target])
                    return attack_candidates(self.bench, method, outputs[deploy], sharers, count)

                part = {**self._histories(), "candidates": count}
                needs = (deploy, *self._base_scores(True, ""))
                self.add(f"premise/{method.id}/{target.id}", part, needs, run)

    def _histories(self) -> dict[str, Any]:
        """What a scoring of deployed modules depends on beside the units it names."""
        # Tokens are numbered over all histories, so evidence depends on the whole data.
        data = self.bench.dataset.digest
        loss = self.config.training.loss
        return {**self._root, "loss": loss, "data": data, **self._calibration}

    def _base_scores(self, merging: bool, target: str) -> list[str]:
        if merging:
            return [f"score/base/{sharer.id}" for sharer in self.bench.dataset.sharers]
        return [f"score/base/{target}"]


def plan(bench: Workbench, model: Mapping[str, str]) -> list[Unit]:
    """Plans a whole study and gives the workbench the keys of its units.

    With ``sharers.representatives`` the sharers outside of the pool are trained and scored too: who is in
    the pool is known only after the base is adapted, and a plan is known before any compute.

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
    trained = [planner.train(sharer, None, adapted, config.sharers.privacy) for sharer in sharers]
    own_epochs = getattr(own, "epochs", None)
    own_trained = {t: planner.train(t, own_epochs, adapted) for t in targets} if own else {}
    gated: Any = next((m for m in config.methods if METHODS[m.kind].needs_gates), None)
    gates = [planner.gate(sharer, gated) for sharer in sharers] if gated else []
    if merging:
        part = {
            "per_target": config.sharers.per_target,
            "embedder": bench.embedder_part,
            "representatives": config.sharers.representatives,
        }
        histories = _digest_items([i for user in dataset.users for i in bench.seen(user).history])
        planner.add(
            "select",
            {**planner._root, **part, "histories": histories},
            adapted,
            lambda outputs: work.select(bench),
        )
    planner.base_scores([*sharers, *own_trained], adapted)
    # A control follows the method that it is built from, wherever the study lists it.
    for method in sorted(config.methods, key=lambda method: named_by(method) is not None):
        shared = [*trained, *gates] if METHODS[method.kind].needs_gates else trained
        for target in targets:
            planner.evaluate(method, target, _needs(method, target, adapted, shared, own_trained))
    if merging and "own-module" in config.audit.controls:
        planner.own_modules()
    if merging and "placebo" in config.audit.controls:
        planner.placebos()
    if merging and "without-sharer" in config.audit.controls:
        planner.without_sharers(trained)
    if config.audit.premise is not None:
        planner.premises(config.audit.premise)
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
    of = named_by(method)
    if kind.subject == "sharer":
        return [*adapted, *shared, "select", *([f"deploy/{of}/{target}"] if of else [])]
    return [*adapted, own[target]] if kind.needs_own_module else adapted


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
    holdout = draw_holdout(dataset, Seeds(config.seed), config.sharers.calibration)
    bench = Workbench(config, dataset, holdout, Store(default_store()), default_store())
    return list(Counter(unit.stage for unit in plan(bench, {})).items())


def _digest_items(items: Iterable[Item]) -> str:
    return digest_json([[item.id, item.input, item.answer] for item in items])
