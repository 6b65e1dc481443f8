"""Collects the evidence that the units left: merged modules about sharers, own modules about targets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from attacks import Evidence, ShadowScores, TokenScores
from prime_audit.audit import Scored, Subjects
from prime_audit.config import MethodConfig
from prime_audit.personalize import METHODS
from prime_audit.study.aside import compared
from prime_audit.study.blind import blind_panel
from prime_audit.study.control_names import CONTROL_BASE, OWN_MODULE, PLACEBO, POPULATION, PRETRAINED, WITHOUT
from prime_audit.study.corpus import corpus
from prime_audit.study.parts import Part
from prime_audit.study.passes import POPULATION as UNSEEN
from prime_audit.study.passes import parts_needed
from prime_audit.study.planner import audited_sharers
from prime_audit.study.shading import population_shadows, shadow_scores
from prime_audit.study.units import Outputs
from prime_audit.study.workbench import Workbench


class _Read:
    """Evidence that is read from its files anew each time that somebody goes through it."""

    def __init__(self, read: Callable[[], Iterator[Scored]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[Scored]:
        return self._read()


class Collector:
    """Reads evidence files and puts their parts together, subject by subject, as somebody asks for them.

    What a study has in evidence grows with users, methods and kinds of passes; only what is about one model
    is in memory at a time.
    """

    def __init__(self, bench: Workbench, outputs: Outputs) -> None:
        """Reads for one finished study.

        Args:
            bench: The workbench.
            outputs: The output of every unit.
        """
        self.bench = bench
        self.outputs = outputs
        self.needed = parts_needed(bench.config.audit.attack_ids)
        self.corpus = corpus(bench) if "corpus" in self.needed else None
        self.base_population = self._parts(f"pass/{POPULATION}/base")

    def groups(self) -> list[Subjects]:
        """Returns the evidence about sharers and about targets, with the controls of each."""
        config = self.bench.config
        merging = [m for m in config.methods if "sharer" in METHODS[m.kind].about]
        own = [m for m in config.methods if "target" in METHODS[m.kind].about]
        if config.audit.design == "prime-paper":
            # Without held-out records of the target there is nothing to compare the target's with.
            own = []
        controls = config.audit.run_controls
        found = []
        if merging:
            alarms = {}
            if "base" in controls:
                alarms[CONTROL_BASE] = _Read(self._base_about_sharers)
            if "placebo" in controls:
                alarms[PLACEBO] = _Read(partial(self._per_pair, PLACEBO))
            counterfactuals = {WITHOUT: _Read(self._without)} if "without-sharer" in controls else {}
            references = {OWN_MODULE: _Read(self._own_modules)} if "own-module" in controls else {}
            methods = {method.id: _Read(partial(self._per_pair, method.id)) for method in merging}
            used = sorted({s for chosen in self.outputs["select"]["selected"].values() for s in chosen})
            seen = blind_panel(self.bench, used) if "blind" in controls else None
            found.append(Subjects("sharer", methods, alarms, references, counterfactuals, seen))
        if own:
            targets = [target.id for target in self.bench.dataset.targets]
            methods = {m.id: _Read(partial(self._about_targets, m)) for m in own}
            alarms = {CONTROL_BASE: _Read(self._base_about_targets)} if "base" in controls else {}
            seen = blind_panel(self.bench, targets) if "blind" in controls else None
            found.append(Subjects("target", methods, alarms, seen=seen))
        return found

    def _per_pair(self, method: str) -> Iterator[Scored]:
        """An entry per target and audited sharer; one without weight in the merge is not merged."""
        for target, selected in self.outputs["select"]["selected"].items():
            deployed = self.outputs.get(f"deploy/{method}/{target}")
            # The placebo is no method: it deploys nothing, and all its pairs stand.
            weights = dict.fromkeys(selected, 1.0)
            if deployed is not None:
                weights = dict(zip(deployed["sources"], deployed["weights"], strict=True))
            subjects = (
                list(selected) if method == PLACEBO else audited_sharers(self.bench, self.outputs, target)
            )
            for sharer, evidence in self._split(method, target, subjects):
                weight = weights.get(sharer, 0.0)
                sign = -1 if weight < 0 else 1
                yield Scored(target, (sharer,), evidence, (sign,), merged=weight != 0)

    def _split(self, method: str, target: str, subjects: Sequence[str]) -> Iterator[tuple[str, Evidence]]:
        """Cuts the evidence about a merge into its subjects' parts, each beside the base's."""
        whole = self.bench.evidence(f"score/{method}/{target}")
        parts = self._parts(f"pass/{method}/{target}")
        shade = self._parts(f"shade/{method}/{target}")
        shadows: dict[str, ShadowScores] = {}
        if shade:
            shadowed = self.outputs[f"shade/{method}/{target}"]["subjects"]
            shadows = shadow_scores(self.bench, shade, shadowed)
        start = 0
        for user in subjects:
            places = np.arange(start, start + len(self.bench.member(user)))
            start += len(places)
            own = {name: _cut(name, part, places, len(whole)) for name, part in parts.items()}
            yield user, self._evidence(whole.take(places), (user,), own, shadows.get(user), shade)

    def _evidence(
        self,
        target: TokenScores,
        users: tuple[str, ...],
        parts: Mapping[str, Part],
        shadows: ShadowScores | None = None,
        shade: Mapping[str, Part] | None = None,
    ) -> Evidence:
        plain: dict[str, Any] = {name: part for name, part in parts.items() if not name.startswith(UNSEEN)}
        return Evidence(
            target,
            self._of_base(users),
            pretrained=self._of_pretrained(users),
            shadows=shadows,
            population=self._population(parts, shade or {}),
            corpus=self.corpus,
            **plain,
        )

    def _population(self, parts: Mapping[str, Part], shade: Mapping[str, Part]) -> Evidence | None:
        target = parts.get(UNSEEN + "target")
        if not isinstance(target, TokenScores):
            return None
        more: dict[str, Any] = {
            "reference": self.base_population.get(UNSEEN + "target"),
            "repeated": parts.get(UNSEEN + "repeated"),
            "shadows": population_shadows(shade),
        }
        return Evidence(target, **more)

    def _parts(self, name: str) -> dict[str, Part]:
        if name not in self.bench.keys or self.outputs.get(name, {}).get("skipped"):
            return {}
        return self.bench.parts(name)

    def _of_base(self, users: Sequence[str]) -> TokenScores:
        return TokenScores.concat([self.bench.evidence(f"score/base/{user}") for user in users])

    def _of_pretrained(self, users: Sequence[str]) -> TokenScores | None:
        if "pretrained" not in self.needed:
            return None
        return TokenScores.concat([self.bench.evidence(f"score/{PRETRAINED}/{user}") for user in users])

    def _about_targets(self, method: MethodConfig) -> Iterator[Scored]:
        """What is about a target, who comes last where the records of sharers were scored as well."""
        both = "sharer" in METHODS[method.kind].about
        for target in (user.id for user in self.bench.dataset.targets):
            sharers = audited_sharers(self.bench, self.outputs, target) if both else []
            *_, (_, evidence) = self._split(method.id, target, [*sharers, target])
            kept = compared(self.bench, self.outputs, method.id, target)
            yield Scored(target, (target,), evidence, (1,), compared=kept)

    def _base(self, target: str, subjects: tuple[str, ...]) -> Scored:
        """The base without a reference: against itself a calibrated attack is one half by definition."""
        parts = [self._parts(f"pass/{CONTROL_BASE}/{user}") for user in subjects]
        names = [name for name in parts[0] if name != "overlap" and all(name in one for one in parts)]
        joined: dict[str, Any] = {name: _joined([one[name] for one in parts]) for name in names}
        evidence = Evidence(
            self._of_base(subjects),
            population=self._population(self.base_population, {}),
            corpus=self.corpus,
            **joined,
        )
        return Scored(target, subjects, evidence, (1,) * len(subjects))

    def _base_about_sharers(self) -> Iterator[Scored]:
        for target in self.outputs["select"]["selected"]:
            for sharer in audited_sharers(self.bench, self.outputs, target):
                yield self._base(target, (sharer,))

    def _base_about_targets(self) -> Iterator[Scored]:
        for target in (user.id for user in self.bench.dataset.targets):
            yield self._base(target, (target,))

    def _own_modules(self) -> Iterator[Scored]:
        """Own modules of the sharers that some target selected: the pairs that the methods are judged on."""
        used = sorted({s for selected in self.outputs["select"]["selected"].values() for s in selected})
        for sharer in used:
            whole = self.bench.evidence(f"score/{OWN_MODULE}/{sharer}")
            parts = self._parts(f"pass/{OWN_MODULE}/{sharer}")
            shade = self._parts(f"shade/{OWN_MODULE}/{sharer}")
            shadows = shadow_scores(self.bench, shade, [sharer])[sharer] if shade else None
            evidence = self._evidence(whole, (sharer,), parts, shadows, shade)
            yield Scored(sharer, (sharer,), evidence, (1,))

    def _without(self) -> Iterator[Scored]:
        """The merge made again without each sharer, which is another merge for every sharer of a target."""
        for target, selected in self.outputs["select"]["selected"].items():
            reverted = self.outputs[f"score/{WITHOUT}/{target}"]["reverted"]
            for sharer, evidence in self._split(WITHOUT, target, list(selected)):
                yield Scored(target, (sharer,), evidence, (1,), sharer not in reverted)


def _cut(name: str, part: Part, places: np.ndarray[Any, np.dtype[np.int64]], records: int) -> Part:
    """The part about some records; the population is about none of them, and neighbours are several each."""
    if name.startswith(UNSEEN):
        return part
    if isinstance(part, TokenScores):
        count = len(part) // records
        return part.take((places[:, None] * count + np.arange(count)).ravel())
    return np.asarray(part[places], dtype=np.float64)


def _joined(parts: Sequence[Part]) -> Part:
    tokens = [part for part in parts if isinstance(part, TokenScores)]
    return TokenScores.concat(tokens) if tokens else np.concatenate([np.asarray(part) for part in parts])
