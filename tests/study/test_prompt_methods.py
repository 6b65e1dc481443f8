"""Prompt-based methods in a study: whose words stand in the prompts, what is refused, and what is counted."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prime_audit.config import ProfileMethod, load_study
from prime_audit.data import Task
from prime_audit.errors import ConfigError, DataError, ModelError
from prime_audit.models import LanguageModel
from prime_audit.modules import LoraModule
from prime_audit.personalize import predict_with
from prime_audit.results import Results
from prime_audit.study import deploying, prompting, workbench
from prime_audit.study.plan import describe_plan
from prime_audit.study.prompting import ask_for_history
from prime_audit.study.runner import run_study
from prime_audit.study.workbench import Workbench
from tests.study.test_prompting import bench as bench
from tests.support import write_study, write_users

METHODS: list[Any] = [
    "base",
    *({"kind": "rag", "id": how, "retriever": how} for how in ("bm25", "recency", "random", "dense")),
    {"kind": "rag", "id": "short", "max_item_tokens": 6, "k": 40},
    "profile",
    {"kind": "profile", "id": "written", "source": "written", "max_profile_tokens": 8},
    {"kind": "profile", "id": "given", "source": "given", "independent": True},
    {"kind": "profile-rag", "k": 1},
    "in-context",
]
Run = tuple[Results, dict[str, list[str]], Path]
OF_PUBLIC = ("in-context",)
OF_NOBODY = ("base",)


def people(records: int = 8) -> list[dict[str, Any]]:
    """Everybody has words that are nobody else's, and uses some of them in every record."""
    found = []
    for role, count in (("target", 2), ("sharer", 2), ("public", 2)):
        for number in range(count):
            draw = np.random.default_rng([ord(role[0]), number])
            own = ["".join(draw.choice(list("bdfgklmnprstvz"), 8)) for _ in range(30)]

            def text(words: int, draw: np.random.Generator = draw, own: list[str] = own) -> str:
                return " ".join([*own[:2], *draw.choice(own, words)])

            history = [
                {"id": f"r{i}", "input": text(5), "answer": text(2), "date": f"2015-01-{i + 1:02d}"}
                for i in range(records)
            ]
            queries = [{"id": f"q{i}", "input": text(4), "answer": text(2)} for i in range(2)]
            user = {"user": f"{role}{number}", "role": role, "history": history, "queries": []}
            if role == "target":
                user |= {"queries": queries, "profile_text": f"Known for {text(3)}."}
            found.append(user)
    return found


def study(folder: Path, *users: dict[str, Any], methods: Sequence[Any] = METHODS, **audit: object) -> Path:
    write_users(folder, *users)
    data = {"path": str(folder), "sharers": None, "targets": None}
    settings = {"permutations": 1000, "attacks": ["loss"], "controls": ["base"], **audit}
    return write_study(folder, methods=methods, data=data, audit=settings)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of every prompt method, and the prompts that each target's queries were put in."""
    folder = tmp_path_factory.mktemp("run")
    prompts: list[list[str]] = []

    def spy(lm: LanguageModel, task: Task, given: Sequence[str], adapter: LoraModule | None) -> list[str]:
        prompts.append(list(given))
        return predict_with(lm, task, given, adapter)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIME_AUDIT_CACHE", str(folder / "cache"))
        patch.setattr(deploying, "predict_with", spy)
        results = run_study(load_study(str(study(folder, *people(), prompt_leak=True))), folder / "run")
    names = [
        f"{m if isinstance(m, str) else m.get('id', m['kind'])}/target{t}" for m in METHODS for t in (0, 1)
    ]
    return results, dict(zip(names, prompts, strict=True)), folder


def words_of(user: dict[str, Any]) -> set[str]:
    texts = [text for item in user["history"] for text in (item["input"], item["answer"])]
    return {word for text in texts for word in text.split()}


def test_nobody_elses_words_stand_in_a_prompt(run: Run) -> None:
    _, prompts, _ = run
    known = {user["user"]: words_of(user) for user in people()}
    for name, texts in prompts.items():
        method, target = name.split("/")
        present = {user for user, words in known.items() if any(w in t for w in words for t in texts)}
        # The query is the target's own and stands in every prompt.
        assert target in present
        if method in OF_PUBLIC:
            assert present <= {target, "public0", "public1"}
            assert len(present) > 1
        else:
            assert present == {target}, name


def test_no_held_out_record_stands_in_a_prompt(run: Run) -> None:
    _, prompts, folder = run
    design = json.loads((folder / "run" / "evidence" / "design.json").read_text(encoding="utf-8"))
    flips = {user["id"]: {r["id"]: r["member"] for r in user["records"]} for user in design["users"]}
    for user in people()[:2]:
        for name, texts in prompts.items():
            if not name.endswith(user["user"]) or name.split("/")[0] in (*OF_PUBLIC, *OF_NOBODY):
                continue
            shown = [i["id"] for i in user["history"] if any(i["input"] in text for text in texts)]
            assert all(flips[user["user"]][record] for record in shown), name
            if "profile/" not in name and not name.startswith(("written", "given", "short")):
                assert shown, name


def test_what_did_not_fit_is_counted(run: Run) -> None:
    results, _, _ = run
    partial = {gap.id: gap.reason for gap in results.coverage.partial}
    assert list(partial) == ["short/prompts"]
    assert "items were cut to max_item_tokens" in partial["short/prompts"]


def test_prompt_leakage_covers_what_is_made_of_a_history(
    run: Run,
) -> None:
    results, _, _ = run
    rates = {m.method: m for m in results.metrics if m.id == "prompt.leak_rate" and m.slice is None}
    asked = {name for name, metric in rates.items() if metric.status == "ok"}
    assert {"bm25", "recency", "random", "dense", "profile", "profile-rag"} <= asked
    # A given profile and public examples hold nothing of the history.
    assert {"given", "in-context"} <= set(rates) - asked
    assert not [
        name for name in (rates["in-context"].reason, rates["given"].reason) if "no record" not in name
    ]


def test_a_written_profile_reaches_no_file(run: Run) -> None:
    _, prompts, folder = run
    said = [text.split("\n")[0].removeprefix("About this person: ") for text in prompts["written/target0"]]
    assert len(set(said)) == 1
    for path in (folder / "run").rglob("*"):
        if path.is_file() and len(said[0]) > 8:
            assert said[0].encode() not in path.read_bytes(), path.name


class TestRefusals:
    def plan(self, folder: Path, *users: dict[str, Any], methods: Sequence[Any]) -> None:
        describe_plan(load_study(str(study(folder, *users, methods=methods))))

    def test_in_context_without_public_users(self, tmp_path: Path) -> None:
        private = [user for user in people() if user["role"] != "public"]
        with pytest.raises(ConfigError, match="method in-context shows items of public users"):
            self.plan(tmp_path, *private, methods=["in-context"])

    def test_a_given_profile_of_unknown_origin(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="may tell of records that this design holds out") as caught:
            self.plan(tmp_path, *people(), methods=[{"kind": "profile", "source": "given"}])
        assert "independent: true" in caught.value.hint

    def test_a_target_without_a_given_profile_is_named(self, tmp_path: Path) -> None:
        users = people()
        del users[1]["profile_text"]
        with pytest.raises(DataError, match="method given: no profile_text of target1"):
            self.plan(tmp_path, *users, methods=[METHODS[8]])

    def test_a_folder_that_is_no_encoder(self, tmp_path: Path) -> None:
        asked = {"kind": "rag", "retriever": "dense", "encoder": str(tmp_path / "none")}
        with pytest.raises(ModelError, match="none"):
            self.plan(tmp_path, *people(), methods=[asked])

    def test_an_encoder_without_dense_retrieval(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="'encoder' is used by 'retriever: dense' alone, not by 'bm25'"):
            load_study(str(study(tmp_path, *people(), methods=[{"kind": "rag", "encoder": "folder"}])))


def test_a_profile_that_comes_out_is_a_leak(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy machine gives the profile away; the profile of the other half was never in the prompt."""

    def copy(lm: LanguageModel, task: Task, prompts: Sequence[str], adapter: object) -> list[str]:
        return list(prompts)

    monkeypatch.setattr(prompting, "predict_with", copy)
    monkeypatch.setattr(workbench, "predict_with", copy)
    target = bench.dataset.targets[0]
    flips, (one, other) = bench.holdout.flips[target.id], (item.input for item in target.history[:2])
    again = tuple(
        replace(item, input=f"{one if member else other} {item.input}")
        for item, member in zip(target.history, flips, strict=True)
    )
    users = tuple(replace(u, history=again) if u.id == target.id else u for u in bench.dataset.users)
    bench.dataset = replace(bench.dataset, users=users)
    rows = ask_for_history(bench, ProfileMethod(), target.id)["rows"]
    leaked = {side: {row["leaked"] for row in rows if row["side"] == side} for side in ("prompt", "control")}
    assert leaked["prompt"] == {True}
