"""Builds the units of a study one by one, each with a key that says what its output depends on."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np

from prime_audit.config import BATCH_TOKENS, MethodConfig, PrimeMethod, PrivacyConfig, StudyConfig
from prime_audit.core import digest_json
from prime_audit.data import Dataset, Item, User, described
from prime_audit.errors import ConfigError
from prime_audit.modules import GateSettings
from prime_audit.personalize import METHODS
from prime_audit.study import work
from prime_audit.study.contexts import outcome
from prime_audit.study.control_names import OWN_MODULE, PLACEBO, WITHOUT
from prime_audit.study.counterfactual import score_without
from prime_audit.study.deploying import deploy
from prime_audit.study.identity import identity_of, version
from prime_audit.study.owning import train_own
from prime_audit.study.predictions import answers_path
from prime_audit.study.premise import attack_candidates, searching_methods
from prime_audit.study.remaking import named_by, rerun_method
from prime_audit.study.units import Output, Outputs, Unit, unit_key
from prime_audit.study.workbench import Workbench, own_unit

# Where a unit leaves its artefact, by stage: in the store that runs share, or with the run's evidence.
IN_STORE = ("adapt", "train", "own", "gate", "shadow", "swap", "plant")
IN_EVIDENCE = ("score", "pass", "shade", "expose", "black-box")


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
        self.root = {
            "model": dict(model),
            "max_tokens": self.config.training.max_tokens,
            "seed": self.config.seed,
            "task": digest_json(described(bench.dataset.task)),
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
        followed = tuple(needs)
        stage = name.split("/")[0]
        tokens = self.config.run.batch_tokens
        if tokens != BATCH_TOKENS and stage not in IN_STORE:
            # Batches are part of the plan: in others, sums are rounded otherwise. Training has its own.
            part = {**part, "batch_tokens": tokens}
        key = unit_key(name, part, tuple(self.keys[other] for other in followed))
        self.keys[name] = key
        artefact = None
        if stage in IN_STORE:
            artefact = self.bench.store.path(key)
        elif stage in IN_EVIDENCE:
            artefact = self.bench.evidence_path(name)
        elif stage == "deploy":
            artefact = self.bench.adapter_path(*name.split("/")[1:])
        kept = answers_path(self.bench, *name.split("/")[1:]) if stage == "deploy" else None
        needed = tuple(dict.fromkeys(followed))
        self.units.append(
            Unit(
                name=name,
                stage=stage,
                key=key,
                run=run,
                artefact=artefact,
                in_store=stage in IN_STORE,
                kept=kept,
                needs=needed,
            )
        )

    def adapt(self) -> list[str]:
        """Plans the task adaptation if there is anything public to adapt on; returns its name in a list."""
        items = adaptation_items(self.config, self.bench.dataset)
        if not items:
            return []
        part = {
            **self.root,
            **trainer(),
            # The base is the same for every training seed.
            "training": self.config.training.model_dump(mode="json", exclude={"seed"}),
            "adaptation": self.config.adaptation.model_dump(mode="json"),
            "items": digest_items(item for item, _ in items),
        }
        self.add("adapt", part, (), lambda outputs: work.adapt_base(self.bench, items))
        return ["adapt"]

    def train(self, user: str, needs: list[str], privacy: PrivacyConfig | None = None) -> str:
        """Plans the training of one user's module on its IN half."""
        name = f"train/{user}"
        part = {
            **self.training(),
            "epochs": None,
            "items": digest_items(self.bench.seen(self.bench.dataset.user(user)).history),
        }
        part |= private_part(privacy)
        self.add(name, part, needs, lambda outputs: work.train(self.bench, user, privacy))
        return name

    def own(self, method: MethodConfig, target: str, needs: list[str]) -> str:
        """Plans the training of a target's own module for one method."""
        name, both = own_unit(method.id, target), "sharer" in METHODS[method.kind].about
        people = self.bench.dataset.sharers if both else ()
        part = {
            **self.training(),
            "pool": digest_dated(item for one in people for item in self.bench.seen(one).history),
            **self._shown(method, self.bench.dataset.user(target)),
        }

        def run(outputs: Outputs) -> Output:
            return train_own(self.bench, method, target, self._selected(outputs, method, target))

        self.add(name, part, [*needs, *(["select"] if both else [])], run)
        return name

    def _shown(self, method: MethodConfig, user: User) -> dict[str, Any]:
        """What a method reads of a target and of public users, in whatever it trains or puts into prompts."""
        return {
            "method": self.bench.settings_of(method),
            "code": identity_of(method),
            "items": digest_dated(self.bench.seen(user).history),
            "profile": user.profile_text,
            "public": self._public,
        }

    @cached_property
    def _public(self) -> str:
        return digest_dated(item for user in self.bench.dataset.public for item in user.history)

    def _selected(self, outputs: Outputs, method: MethodConfig, target: str) -> dict[str, float]:
        """The sharers of a target, for a method that is about sharers."""
        if "sharer" not in METHODS[method.kind].about:
            return {}
        selected: dict[str, float] = outputs["select"]["selected"][target]
        return selected

    def subjects(self, outputs: Outputs, method: MethodConfig, target: str) -> list[str]:
        """Returns whose records are scored with what a method deploys: sharers first, then the target."""
        about = METHODS[method.kind].about
        sharers = audited_sharers(self.bench, outputs, target) if "sharer" in about else []
        # The published protocol holds nothing of the target out.
        own = "target" in about and self.config.audit.design == "holdout"
        return [*sharers, *([target] if own or not sharers else [])]

    def gate(self, sharer: str, settings: GateSettings) -> str:
        """Plans the training of the gates of one sharer's module, on the same records."""
        name = f"gate/{sharer}"
        part = {
            **self.root,
            **trainer(),
            "steps": settings.steps,
            "lr": settings.lr,
            "batch_size": settings.batch_size,
        }
        self.add(name, part, (f"train/{sharer}",), partial(alone, work.gate, self.bench, sharer, settings))
        return name

    def evaluate(self, method: MethodConfig, target: str, needs: list[str]) -> None:
        """Plans personalisation, answers and evidence of one method for one target."""
        about = METHODS[method.kind].about
        name = f"deploy/{method.id}/{target}"
        user = self.bench.dataset.user(target)
        part = {
            **self.root,
            **self._shown(method, user),
            "queries": digest_dated(user.queries),
            # Methods draw from it too, whether or not they train.
            "seed": self.config.training.seed,
            **(self._calibration if "sharer" in about else {}),
        }

        def run_deploy(outputs: Outputs) -> Output:
            similarity = self._selected(outputs, method, target)
            of = named_by(method)
            others = {of: outcome(self.bench, of, target, outputs[f"deploy/{of}/{target}"])} if of else {}
            return deploy(self.bench, method, target, similarity, others)

        self.add(name, part, needs, run_deploy)
        if not about:
            return
        scoring = f"score/{method.id}/{target}"

        def run_score(outputs: Outputs) -> Output:
            subjects = self.subjects(outputs, method, target)
            return work.score_deployed(self.bench, scoring, outputs[name], subjects)

        based = [need for one in about for need in self.base_needs(one == "sharer", target)]
        self.add(scoring, self.histories(), (name, *based), run_score)

    def base_scores(self, users: Iterable[str], needs: list[str]) -> None:
        """Plans one scoring pass of the base per audited user."""
        for user in users:
            name = f"score/base/{user}"
            items = self.bench.holdout.audited(self.bench.dataset.user(user))
            part = {**self.histories(), "items": digest_items(items)}
            self.add(name, part, needs, partial(alone, work.score_base, self.bench, user))

    def own_modules(self) -> None:
        """Plans the upper reference: each sharer's own module on its own history."""
        for sharer in self.bench.dataset.sharers:
            name = f"score/{OWN_MODULE}/{sharer.id}"
            needs = (f"train/{sharer.id}", f"score/base/{sharer.id}")
            self.add(
                name,
                self.histories(),
                needs,
                partial(alone, work.score_merge, self.bench, name, [sharer.id], [1.0], [sharer.id]),
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
            self.add(name, self.histories(), ("select", *trained, *self.base_needs(True, "")), run)

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
            part = {**self.histories(), "method": settings, "code": identity_of(method)}
            self.add(name, part, ("select", *trained, *gates, *self.base_needs(True, "")), run)

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

                part = {**self.histories(), "candidates": count}
                needs = (deploy, *self.base_needs(True, ""))
                self.add(f"premise/{method.id}/{target.id}", part, needs, run)

    def training(self) -> dict[str, Any]:
        """What a trained module depends on beside its records."""
        return {**self.root, **trainer(), "training": training_part(self.config)}

    def histories(self) -> dict[str, Any]:
        """What a scoring of deployed modules depends on beside the units it names."""
        # Tokens are numbered over all histories, so evidence depends on the whole data.
        data = self.bench.dataset.digest
        loss = self.config.training.loss
        return {**self.root, "loss": loss, "data": data, **self._calibration}

    def base_needs(self, merging: bool, target: str) -> list[str]:
        """Names the units that scored the base on the sharers, or on one target."""
        if merging:
            return [f"score/base/{sharer.id}" for sharer in self.bench.dataset.sharers]
        return [f"score/base/{target}"]


def audited_sharers(bench: Workbench, outputs: Outputs, target: str) -> list[str]:
    """Returns whose records are asked for about a target's merge.

    Args:
        bench: The workbench.
        outputs: Outputs that hold the selection.
        target: The target.

    Returns:
        The selected sharers; the whole pool, in its order, under the published protocol, whose non-members
        are the records of the sharers that were not selected.
    """
    if bench.config.audit.design == "prime-paper":
        return list(outputs["select"]["pool"])
    return list(outputs["select"]["selected"][target])


def private_part(privacy: PrivacyConfig | None) -> dict[str, Any]:
    """What a module that is trained with differential privacy depends on; nothing for any other one."""
    if privacy is None:
        return {}
    library = {"opacus": version("opacus")} if privacy.unit == "example" else {}
    return {"privacy": {**privacy.model_dump(mode="json"), **library}}


def training_part(config: StudyConfig) -> dict[str, Any]:
    """Returns the settings of training as a key holds them; a seed of its own only where one is set."""
    return config.training.model_dump(mode="json", exclude_none=True)


def trainer() -> dict[str, str]:
    """The libraries that a trained module depends on; the store outlives their updates."""
    return {name: version(name) for name in ("torch", "transformers", "peft")}


def alone(do: Callable[..., Output], *arguments: object) -> Output:
    """Runs work that reads no other unit's output; the executor passes the outputs last."""
    return do(*arguments[:-1])


def adaptation_items(config: StudyConfig, dataset: Dataset) -> list[work.Put]:
    """Returns what adapts the base: the public users' past items, up to ``max_items`` of them.

    Where past items have another form than queries, the answered queries of the public users come with them:
    nothing else shows the base what is asked.

    Args:
        config: The study.
        dataset: Its users.

    Returns:
        Answered items with their forms, drawn without replacement.
    """
    task = dataset.task
    items = [(item, task.past) for user in dataset.public for item in user.history if item.answer]
    if task.of_history is not None:
        items += [(item, task) for user in dataset.public for item in user.queries if item.answer]
    limit = config.adaptation.max_items
    if limit is None or limit >= len(items):
        return items
    # Which public items adapt the base is a fixed choice of the study's data, the same for every seed.
    chosen = sorted(np.random.default_rng(0).choice(len(items), size=limit, replace=False))
    return [items[i] for i in chosen]


def digest_dated(items: Iterable[Item]) -> str:
    """Returns the digest of records with their dates, for what retrieves, orders or leaves out by them."""
    return digest_json([[item.id, item.input, item.answer, item.date] for item in items])


def digest_people(users: Iterable[User]) -> str:
    """Returns the digest of histories with whose they are, for what tells people and their roles apart."""
    return digest_json([[user.id, user.role, digest_items(user.history)] for user in users])


def digest_items(items: Iterable[Item]) -> str:
    """Returns the digest of records: their ids, inputs and answers."""
    return digest_json([[item.id, item.input, item.answer] for item in items])
