"""Methods that train for a target, in a study: whose records enter, who is audited, what is refused."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from prime_audit.config import OppuMethod, load_study
from prime_audit.errors import ConfigError
from prime_audit.models import Encoded, Example, LanguageModel
from prime_audit.modules import LoraModule, TrainingRecord, early_stopping, train_personal
from prime_audit.modules.training import optimise
from prime_audit.personalize import METHODS as KINDS
from prime_audit.personalize import TargetContext, adapt_merged
from prime_audit.personalize.trained import own_examples
from prime_audit.results import Results
from prime_audit.study import owning
from prime_audit.study.plan import describe_plan
from prime_audit.study.runner import run_study
from tests.study.test_prompt_methods import people, words_of
from tests.support import write_study, write_users

METHODS: list[Any] = [
    "base",
    "uniform",
    "oppu",
    {"kind": "oppu", "id": "oppu-stopped", "early_stopping": True, "epochs": 3, "lr": 0.02, "rank": 3},
    {"kind": "oppu-rag", "k": 1},
    "oppu-profile",
    "pooled",
    {"kind": "pooled", "id": "pooled-few", "pool": "selected"},
    "adapt-merged",
    {"kind": "adapt-merged", "id": "adapt-stopped", "early_stopping": True, "epochs": 2, "held_out": 0.4},
    {"kind": "pooled", "id": "pooled-stopped", "early_stopping": True, "epochs": 2},
]
STOPPED = ("oppu-stopped", "adapt-stopped", "pooled-stopped")
OWN = ("oppu", "oppu-stopped", "oppu-rag", "oppu-profile")
BOTH = ("pooled", "pooled-few", "adapt-merged", "adapt-stopped", "pooled-stopped")
# Whose modules are trained before anything is deployed, and whose while it is; each for both targets.
BEFORE = (*OWN, "pooled", "pooled-few", "pooled-stopped")
WHILE = ("adapt-merged", "adapt-stopped")


@dataclass(frozen=True)
class Run:
    """A finished run, what each training was given and what it took a step on, and where the run lies."""

    results: Results
    prompts: dict[str, list[list[str]]]
    learnt: dict[str, list[list[str]]]
    folder: Path


def study(folder: Path, users: Sequence[dict[str, Any]], methods: Sequence[Any], **audit: object) -> Path:
    write_users(folder, *users)
    data = {"path": str(folder), "sharers": None, "targets": None}
    settings = {
        "permutations": 1000,
        "attacks": ["loss", "reference", "lowercase"],
        "controls": ["base", "own-module"],
        **audit,
    }
    sections = {"methods": methods, "data": data, "audit": settings, "sharers": {"per_target": 1}}
    return write_study(folder, **sections)


def run_once(folder: Path, users: Sequence[dict[str, Any]], methods: Sequence[Any], **audit: object) -> Run:
    prompts: dict[str, list[list[str]]] = defaultdict(list)
    learnt: dict[str, list[list[str]]] = defaultdict(list)

    def spy(kind: str) -> Callable[..., tuple[LoraModule, TrainingRecord]]:
        def train(
            lm: LanguageModel, examples: Sequence[Example], *rest: object, **more: object
        ) -> tuple[LoraModule, TrainingRecord]:
            prompts[kind].append([f"{one.prompt}{one.completion}" for one in examples])

            def steps(lm: LanguageModel, encoded: Sequence[Encoded], *rest: Any) -> int:  # noqa: ANN401
                learnt[kind].append([str(lm.tokenizer.decode(list(one.ids))) for one in encoded])
                return optimise(lm, encoded, *rest)

            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(early_stopping, "optimise", steps)
                return train_personal(lm, examples, *rest, **more)  # type: ignore[arg-type]

        return train

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIME_AUDIT_CACHE", str(folder / "cache"))
        patch.setattr(owning, "train_personal", spy("own"))
        patch.setattr(adapt_merged, "train_personal", spy("adapt-merged"))
        results = run_study(load_study(str(study(folder, users, methods, **audit))), folder / "run")
    return Run(results, prompts, learnt, folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_once(tmp_path_factory.mktemp("run"), people(), METHODS, prompt_leak=True)


def journal(run: Run) -> dict[str, dict[str, Any]]:
    lines = (run.folder / "run" / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    return {entry["unit"]: entry["output"] for entry in map(json.loads, lines)}


def of_method(trained: dict[str, list[list[str]]]) -> dict[tuple[str, str], list[str]]:
    """What was noted of trainings in the order of a study, by method and target."""
    order = [
        *(("own", method, target) for method in BEFORE for target in (0, 1)),
        *(("adapt-merged", method, target) for method in WHILE for target in (0, 1)),
    ]
    noted = [texts for kind in ("own", "adapt-merged") for texts in trained[kind]]
    return {(method, f"target{n}"): texts for (_, method, n), texts in zip(order, noted, strict=True)}


def test_no_module_is_trained_on_anybody_elses_records(run: Run) -> None:
    """Fails on the published code's bug, by which each user's module also sees all users before."""
    known = {user["user"]: words_of(user) for user in people()}
    trained = of_method(run.prompts)
    selected = {unit: output for unit, output in journal(run).items() if unit == "select"}["select"][
        "selected"
    ]
    for (method, target), texts in trained.items():
        present = {user for user, words in known.items() if any(w in t for w in words for t in texts)}
        allowed = {target}
        if method in ("pooled", "pooled-stopped"):
            allowed |= {"sharer0", "sharer1"}
        if method == "pooled-few":
            allowed |= set(selected[target])
        assert present == allowed, (method, target)


def test_no_held_out_record_is_trained_on(run: Run) -> None:
    design = json.loads((run.folder / "run" / "evidence" / "design.json").read_text(encoding="utf-8"))
    texts = {user["user"]: {i["id"]: i["input"] for i in user["history"]} for user in people()}
    out = [
        texts[user["id"]][record["id"]]
        for user in design["users"]
        for record in user["records"]
        if not record["member"]
    ]
    trained = [text for all_of in run.prompts.values() for one in all_of for text in one]
    assert out
    assert not [record for record in out if any(record in text for text in trained)]


def test_another_targets_history_changes_nothing(run: Run, tmp_path: Path) -> None:
    """Reversing the targets and changing one of them leaves the other's module as it was."""
    users = people()
    users[0]["history"][0]["answer"] = "changed"
    users[:2] = users[1::-1]
    again = run_once(tmp_path, users, ["base", "oppu"], controls=["base"])
    one, other = (
        (each.folder / "run" / "modules" / "oppu" / "target1" / "adapter_model.safetensors").read_bytes()
        for each in (run, again)
    )
    assert one == other


def test_what_chose_the_epoch_is_neither_member_nor_non_member(run: Run) -> None:
    """Fails where records that were set aside count as members, though nothing was trained on them."""
    design = json.loads((run.folder / "run" / "evidence" / "design.json").read_text(encoding="utf-8"))
    history = {user["id"]: user["records"] for user in design["users"]}
    kept = json.loads((run.folder / "run" / "evidence" / "scores.json").read_text(encoding="utf-8"))
    left_out = {"members": 0, "nonmembers": 0}
    for method in (*OWN, *BOTH):
        for target in ("target0", "target1"):
            # The records are in the order of their dates, and the prompts that were trained on too.
            held = journal(run).get(f"own/{method}/{target}", {}).get("held_out", 0)
            held += journal(run)[f"deploy/{method}/{target}"]["aside"]
            assert (held > 0) == (method in STOPPED), method
            member = [record["member"] for record in history[target]]
            cut = [n for n, one in enumerate(member) if one][-held] if held else len(member)
            expected = {"members": sum(member[:cut]), "nonmembers": cut - sum(member[:cut])}
            (found,) = (
                m.n
                for m in run.results.metrics
                if (m.id, m.method, m.attack, m.subject, m.user)
                == ("mia.auc", method, "reference", "target", target)
            )
            assert found is not None
            assert {"members": found.members, "nonmembers": found.nonmembers} == expected, method
            (rows,) = (
                user["scores"]
                for one in kept["sets"]
                if (one["method"], one["attack"], one["subject"]) == (method, "reference", "target")
                for user in one["users"]
                if user["user"] == target
            )
            assert [[score is not None for score in row] for row in rows] == [
                [n < cut for n in range(len(member))]
            ]
            if method == "oppu-stopped":
                left_out["members"] += held
                left_out["nonmembers"] += len(member) - cut - held
    reasons = {gap.id: gap.reason for gap in run.results.coverage.partial if gap.id.endswith("/set aside")}
    assert set(reasons) == {f"{method}/set aside" for method in STOPPED}
    assert reasons["oppu-stopped/set aside"].startswith(f"{left_out['members']} records of the targets chose")
    assert f"the {left_out['nonmembers']} held-out ones" in reasons["oppu-stopped/set aside"]


def test_what_a_module_was_trained_on_is_what_counts_as_a_member(run: Run) -> None:
    """For every method: a record stands in its training if and only if the audit calls it a member."""
    texts = {user["user"]: {i["id"]: i["input"] for i in user["history"]} for user in people()}
    design = json.loads((run.folder / "run" / "evidence" / "design.json").read_text(encoding="utf-8"))
    records = {user["id"]: user["records"] for user in design["users"]}
    kept = json.loads((run.folder / "run" / "evidence" / "scores.json").read_text(encoding="utf-8"))
    trained = of_method(run.learnt)
    for one in kept["sets"]:
        if one["subject"] != "target" or one["attack"] != "reference":
            continue
        for user in one["users"]:
            learnt = trained[one["method"], user["user"]]
            for record, score in zip(records[user["user"]], user["scores"][0], strict=True):
                seen = any(texts[user["user"]][record["id"]] in text for text in learnt)
                if score is not None:
                    assert seen == record["member"], one["method"]


def test_membership_attacks_reach_every_trained_method(run: Run) -> None:
    found = {
        (m.method, m.subject, m.attack)
        for m in run.results.metrics
        if m.id == "mia.auc" and m.status == "ok" and m.target is None
    }
    for attack in ("loss", "reference", "lowercase"):
        assert {(method, "target", attack) for method in (*OWN, *BOTH)} <= found
        assert {(method, "sharer", attack) for method in ("uniform", *BOTH)} <= found
        assert not {(method, "sharer", attack) for method in OWN} & found
    judged = {(finding.method, finding.subject) for finding in run.results.findings}
    assert {(method, subject) for method in BOTH for subject in ("sharer", "target")} <= judged


def test_prompts_with_history_are_asked_for_it(run: Run) -> None:
    rates = {
        m.method: m.status for m in run.results.metrics if m.id == "prompt.leak_rate" and m.slice is None
    }
    assert rates == {"oppu-rag": "ok", "oppu-profile": "ok"}


def test_settings_of_a_method_reach_its_training(run: Run) -> None:
    outputs = journal(run)
    plain, stopped = outputs["own/oppu/target0"], outputs["own/oppu-stopped/target0"]
    assert (plain["held_out"], plain["epochs"], plain["best_epoch"]) == (0, 1, 1)
    assert stopped["held_out"] >= 1
    assert stopped["items"] + stopped["held_out"] == plain["items"]
    assert 1 <= stopped["best_epoch"] <= stopped["epochs"] <= 3
    adapter = run.folder / "run" / "modules" / "oppu-stopped" / "target0" / "adapter_config.json"
    assert json.loads(adapter.read_text())["r"] == 3
    pool, few = outputs["own/pooled/target0"]["items"], outputs["own/pooled-few/target0"]["items"]
    assert pool > few > plain["items"]


class TestRefusals:
    def refused(self, folder: Path, methods: Sequence[Any], *settings: str) -> ConfigError:
        config = load_study(str(study(folder, people(), methods)), settings)
        with pytest.raises(ConfigError) as caught:
            describe_plan(config)
        return caught.value

    def test_pooling_undoes_differential_privacy(self, tmp_path: Path) -> None:
        error = self.refused(tmp_path, ["pooled"], "sharers.privacy={unit: user, noise: 1.0}")
        assert "pooled trains on the sharers' records without privacy" in str(error)

    def test_the_published_protocol_needs_records_that_are_in_nothing(self, tmp_path: Path) -> None:
        error = self.refused(tmp_path, ["pooled", "uniform"], "audit.design=prime-paper")
        assert "pooled trains on every sharer" in str(error)
        assert "pool: selected" in error.hint

    def test_a_control_that_merges_again_needs_a_merge(self, tmp_path: Path) -> None:
        settings = ("sharers.per_target=2", "audit.controls=[base, without-sharer]")
        error = self.refused(tmp_path, ["pooled"], *settings)
        assert "without-sharer makes a merge again, and method pooled merges nobody's module" in str(error)

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda own: own[1:], id="one is left out"),
            pytest.param(lambda own: [own[1], *own[:-1]], id="as many, one of them another"),
            pytest.param(lambda own: own[::-1], id="another order, so early stopping sets others aside"),
            pytest.param(lambda own: [*own, own[0]], id="something after them"),
        ],
    )
    def test_a_method_that_does_not_train_on_the_records_of_the_target(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        change: Callable[[list[Example]], list[Example]],
    ) -> None:
        def other(context: TargetContext, settings: OppuMethod) -> list[Example]:
            return change(own_examples(context, settings))

        changed = {**KINDS, "oppu": replace(KINDS["oppu"], examples=other)}
        monkeypatch.setattr(owning, "METHODS", changed)
        monkeypatch.setenv("PRIME_AUDIT_CACHE", str(tmp_path / "cache"))
        path = study(tmp_path, people(), ["base", "oppu"], controls=["base"])
        with pytest.raises(ConfigError, match="one that is not trained on is no member"):
            run_study(load_study(str(path)), tmp_path / "run")

    def test_pooling_needs_sharers(self, tmp_path: Path) -> None:
        write_users(tmp_path, *(user for user in people() if user["role"] != "sharer"))
        data = {"path": str(tmp_path), "sharers": None, "targets": None}
        path = write_study(tmp_path, methods=["base", "pooled"], data=data)
        with pytest.raises(
            ConfigError, match="methods pooled train on sharers' records, and the data hold no"
        ):
            describe_plan(load_study(str(path)))


class TestCosts:
    def cost(self, run: Run, name: str, method: str) -> float:
        (value,) = (m.value for m in run.results.metrics if (m.id, m.method) == (f"cost.{name}", method))
        assert value is not None
        return value

    def test_tokens_of_training_are_those_of_the_units(self, run: Run) -> None:
        outputs = journal(run)
        for method in (*OWN, "pooled", "pooled-few"):
            units = [outputs[f"own/{method}/target{i}"] for i in (0, 1)]
            expected = sum(unit["training_tokens"] for unit in units) / 2
            assert self.cost(run, "training_tokens", method) == expected > 0
            assert self.cost(run, "shared_training_tokens", method) == 0
        assert self.cost(run, "training_tokens", "pooled") > self.cost(run, "training_tokens", "oppu")
        assert self.cost(run, "training_tokens", "uniform") == self.cost(run, "training_tokens", "base") == 0
        assert self.cost(run, "training_tokens", "adapt-merged") == self.cost(run, "training_tokens", "oppu")
        counted = outputs["count/tokens"]["tokens"]
        selected = outputs["select"]["selected"]
        shared = sum(counted[sharer] for chosen in selected.values() for sharer in chosen) / 2
        assert self.cost(run, "shared_training_tokens", "uniform") == shared
        assert self.cost(run, "shared_training_tokens", "adapt-merged") == shared

    def test_what_is_tuned_is_counted(self, run: Run) -> None:
        epochs = [journal(run)[f"own/oppu-stopped/target{i}"]["epochs"] for i in (0, 1)]
        assert self.cost(run, "settings", "oppu-stopped") == sum(epochs) / 2
        assert self.cost(run, "search_tokens", "oppu-stopped") > 0
        assert {self.cost(run, "settings", method) for method in ("base", "oppu", "uniform", "pooled")} == {0}

    def test_what_is_kept_for_a_person(self, run: Run) -> None:
        design = json.loads((run.folder / "run" / "evidence" / "design.json").read_text(encoding="utf-8"))
        member = {u["id"]: {r["id"]: r["member"] for r in u["records"]} for u in design["users"]}
        kept = [
            len(text.encode())
            for user in people()[:2]
            for item in user["history"]
            if member[user["user"]][item["id"]]
            for text in (item["input"], item["answer"])
        ]
        folder = run.folder / "run" / "modules"
        stored = {
            method: sum(
                tensor.numel() * tensor.element_size()
                for i in (0, 1)
                for tensor in load_file(folder / method / f"target{i}" / "adapter_model.safetensors").values()
            )
            for method in ("oppu", "oppu-rag", "uniform")
        }
        assert self.cost(run, "stored_bytes", "base") == 0
        assert self.cost(run, "stored_bytes", "oppu") == stored["oppu"] / 2
        assert self.cost(run, "stored_bytes", "uniform") == stored["uniform"] / 2
        assert self.cost(run, "stored_bytes", "oppu-rag") == (stored["oppu-rag"] + sum(kept)) / 2

    def test_a_longer_prompt_costs_more_per_query(self, run: Run) -> None:
        tokens = {method: self.cost(run, "answer_tokens", method) for method in ("base", "oppu-rag")}
        assert tokens["oppu-rag"] > tokens["base"] > 0
