"""Prompt leakage in a study: copying and ignorant models, what counts as context, and a whole small run."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attacks.prompt_leak import LEAK_RULE
from prime_audit import load_results
from prime_audit.config import MethodConfig, load_study
from prime_audit.core import Seeds
from prime_audit.data import Task, draw_holdout
from prime_audit.errors import ConfigError
from prime_audit.models import LanguageModel, tokenize
from prime_audit.modules import LoraModule
from prime_audit.results import Metric
from prime_audit.study import prompting, workbench
from prime_audit.study.inputs import draw_design, load_dataset
from prime_audit.study.plan import describe_plan
from prime_audit.study.prompt_requests import REQUEST_KINDS, REQUESTS
from prime_audit.study.prompting import ask_for_history, prompt_metrics
from prime_audit.study.store import Store
from prime_audit.study.units import Output
from prime_audit.study.workbench import Workbench
from tests.support import run_cli, write_study, write_users

TARGETS, RECORDS, K = 6, 12, 2
METHODS = ["pretrained", "base", {"kind": "rag", "k": K}]
Say = Callable[[str], str]


def words(draw: np.random.Generator, count: int) -> list[str]:
    """Words that are nobody else's, so that a text that holds one has it from here."""
    return ["".join(draw.choice(list("bdfgklmnprstvz"), 9)) for _ in range(count)]


def people() -> list[dict[str, Any]]:
    draw = np.random.default_rng(2)
    found = []
    for role, count in (("target", TARGETS), ("sharer", 2)):
        for number in range(count):
            history = [
                {"id": f"r{i}", "input": " ".join(words(draw, 8)), "answer": " ".join(words(draw, 5))}
                for i in range(RECORDS)
            ]
            queries = [{"id": "q", "input": "what is new", "answer": "this is"}] if role == "target" else []
            found.append({"user": f"{role}{number}", "role": role, "history": history, "queries": queries})
    return found


def study(home: Path, **audit: object) -> Path:
    write_users(home, *people())
    data = {"path": str(home), "sharers": None, "targets": None}
    settings = {"permutations": 1000, "attacks": ["loss"], "controls": ["base"], "prompt_leak": True, **audit}
    return write_study(home, methods=METHODS, data=data, audit=settings)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """A workbench that nothing is planned on: its base is the bundled model as it came."""
    config = load_study(str(study(tmp_path)))
    dataset = load_dataset(config)
    out = tmp_path / "out"
    return Workbench(config, dataset, draw_design(config, dataset), Store(tmp_path / "cache"), out)


def method(bench: Workbench, name: str) -> MethodConfig:
    return next(one for one in bench.config.methods if one.id == name)


def answer_with(monkeypatch: pytest.MonkeyPatch, say: Say) -> None:
    """Puts another language model in the place of the study's."""

    def predict(
        lm: LanguageModel, task: Task, prompts: Sequence[str], adapter: LoraModule | None
    ) -> list[str]:
        return [say(prompt) for prompt in prompts]

    monkeypatch.setattr(prompting, "predict_with", predict)
    monkeypatch.setattr(workbench, "predict_with", predict)


def _always(text: str, prompt: str) -> str:
    return text


def ask(bench: Workbench, name: str = "rag") -> dict[str, Output]:
    targets = [target.id for target in bench.dataset.targets]
    return {f"prompt/{name}/{t}": ask_for_history(bench, method(bench, name), t) for t in targets}


def figures(bench: Workbench, units: dict[str, Output], kind: str | None = None) -> dict[str, Metric]:
    found = prompt_metrics(bench.config, units, Seeds(1))
    part = None if kind is None else {"request": kind}
    return {m.id.removeprefix("prompt."): m for m in found if m.slice == part}


class TestModels:
    def test_a_copy_machine_leaks_everything_that_it_reads(
        self, bench: Workbench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer_with(monkeypatch, lambda prompt: prompt)
        units = ask(bench)
        for kind in (None, *REQUEST_KINDS):
            found = figures(bench, units, kind)
            assert (found["leak_rate"].value, found["control_rate"].value) == (1.0, 0.0)
            assert found["leak_difference"].value == 1.0
            # The base copies a prompt in which there is no history.
            assert found["base_rate"].value == 0.0
            assert found["leak_p"].value == found["run_p"].value == 0.5**TARGETS
            n = found["leak_rate"].n
            assert n is not None
            each = len(REQUESTS) if kind is None else sum(request.kind == kind for request in REQUESTS)
            assert (n.attempted, n.scored, n.users) == (each * TARGETS, each * TARGETS, TARGETS)

    def test_a_model_that_ignores_the_context_leaks_nothing(
        self, bench: Workbench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer_with(monkeypatch, lambda prompt: "all is well in the town tonight")
        found = figures(bench, ask(bench))
        assert (found["leak_rate"].value, found["control_rate"].value, found["leak_p"].value) == (0.0, 0.0, 1)
        run, other = found["longest_run"].value, found["control_run"].value
        assert run is not None
        assert other is not None
        assert max(run, other) < LEAK_RULE.run

    def test_what_is_known_without_the_context_is_no_leak(
        self, bench: Workbench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = bench.dataset.targets[0]
        everything = " ".join(item.answer or "" for item in target.history)
        answer_with(monkeypatch, lambda prompt: everything)
        unit = ask_for_history(bench, method(bench, "rag"), target.id)
        found = figures(bench, {f"prompt/rag/{target.id}": unit})
        assert found["leak_rate"].value == found["control_rate"].value == found["base_rate"].value == 1.0
        assert (found["leak_difference"].value, found["leak_p"].value) == (0.0, 1.0)

    def test_the_real_model_leaks_about_as_much_of_what_it_has_not_read(self, bench: Workbench) -> None:
        found = figures(bench, ask(bench))
        assert (found["base_rate"].value, found["control_rate"].value) == (0.0, 0.0)

    @pytest.mark.long
    def test_however_the_coin_falls_an_ignorant_model_is_seldom_accused(
        self, bench: Workbench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Each person's model says pieces of the history, but the same ones whichever half it was shown.
        draw = np.random.default_rng(8)
        said = {}
        for target in bench.dataset.targets:
            pieces = [(item.answer or "").split() for item in target.history]
            chosen = [piece[: draw.integers(0, 5)] for piece in pieces if draw.random() < 0.4]
            said[target.id] = " ".join(word for piece in chosen for word in piece)
        accused, draws = 0, 100
        for seed in range(draws):
            bench.holdout = draw_holdout(bench.dataset, Seeds(seed))
            units = {}
            for name, text in said.items():
                answer_with(monkeypatch, partial(_always, text))
                units[f"prompt/rag/{name}"] = ask_for_history(bench, method(bench, "rag"), name)
            accused += (figures(bench, units)["run_p"].value or 0) <= 0.05
        # Six people give steps of 1/64: at most 3/64 of all draws, and three standard errors.
        assert 0 < accused <= draws * (3 / 64 + 3 * (3 / 64 * 61 / 64 / draws) ** 0.5)


class TestContext:
    def test_a_prompt_without_history_is_asked_nothing(
        self, bench: Workbench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(prompt: str) -> str:
            raise AssertionError("no model should be asked")

        answer_with(monkeypatch, refuse)
        units = ask(bench, "pretrained")
        assert all(unit["rows"] == [] for unit in units.values())
        (found,) = prompt_metrics(bench.config, units, Seeds(1))
        assert (found.id, found.status) == ("prompt.leak_rate", "undefined")
        assert found.reason == "no record of the history stands in its prompts"

    def test_each_side_is_a_half_of_the_coin(self, bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
        answer_with(monkeypatch, lambda prompt: prompt)
        for name, unit in ask(bench).items():
            flips = bench.holdout.flips[name.split("/")[2]]
            for request in REQUESTS:
                rows = [row for row in unit["rows"] if row["request"] == request.id]
                assert [row["side"] for row in rows] == ["prompt"] * K + ["control"] * K
            assert {row["record"] for row in unit["rows"] if row["side"] == "prompt"} <= set(
                range(sum(flips))
            )

    def test_without_a_held_out_half_there_is_no_control(self, bench: Workbench) -> None:
        target = bench.dataset.targets[0].id
        flips = {**bench.holdout.flips, target: (True,) * RECORDS}
        bench.holdout = replace(bench.holdout, flips=flips)
        unit = ask_for_history(bench, method(bench, "rag"), target)
        assert unit["rows"] == []
        assert "one side of the coin" in unit["skipped"]

    def test_what_no_longer_fits_is_not_in_the_prompt(
        self, bench: Workbench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer_with(monkeypatch, lambda prompt: prompt)
        target = bench.dataset.targets[0].id
        whole = ask_for_history(bench, method(bench, "rag"), target)["rows"]
        # Room for every request with one record, and not for two.
        lm, task, history = bench.pretrained, bench.dataset.task, bench.dataset.targets[0].history
        alone = [task.prompt(request.text, history[:1]) for request in REQUESTS]
        longest = max(len(ids) for ids in tokenize(lm, alone))
        lm.max_tokens = task.max_new_tokens + longest + 20
        cut = ask_for_history(bench, method(bench, "rag"), target)["rows"]
        assert 0 < len(cut) < len(whole)

    def test_a_text_on_both_sides_counts_on_neither(
        self, bench: Workbench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer_with(monkeypatch, lambda prompt: prompt)
        target = bench.dataset.targets[0]
        same = tuple(replace(item, input=target.history[0].input) for item in target.history)
        other = replace(target, history=tuple(replace(i, answer=target.history[0].answer) for i in same))
        users = tuple(other if user.id == target.id else user for user in bench.dataset.users)
        bench.dataset = replace(bench.dataset, users=users)
        unit = ask_for_history(bench, method(bench, "rag"), target.id)
        assert unit["rows"] == []


def test_requests_are_told_apart_and_of_three_kinds() -> None:
    assert len({request.id for request in REQUESTS}) == len({r.text for r in REQUESTS}) == len(REQUESTS)
    assert REQUEST_KINDS == ("repeat", "summarise", "prefix")


def test_a_task_that_answers_with_labels_is_refused_before_any_compute(tmp_path: Path) -> None:
    stars = people()
    for person in stars:
        for item in (*person["history"], *person["queries"]):
            item["answer"] = "3"
    path = study(tmp_path)
    write_users(tmp_path, *stars)
    config = load_study(str(path), ["task=lamp-3"])
    with pytest.raises(ConfigError, match=r"audit\.prompt_leak: a number task answers with its labels alone"):
        describe_plan(config)


def test_the_published_protocol_has_no_control_for_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'prompt_leak' compares with held-out records"):
        load_study(str(study(tmp_path, design="prime-paper")))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    finished = run_cli("evaluate", study(home), home=home)
    assert finished.code == 0, finished.stderr
    (home / "printed").write_text(finished.stdout + finished.stderr)
    return home


class TestWholeRun:
    def test_rates_stand_in_the_results(self, home: Path) -> None:
        metrics = [m for m in load_results(home / "reports" / "small").metrics if m.id.startswith("prompt.")]
        (rate,) = (m for m in metrics if (m.id, m.method, m.slice) == ("prompt.leak_rate", "rag", None))
        assert (rate.subject, rate.adversary, rate.status) == ("target", "A3", "ok")
        assert rate.ci is not None
        assert rate.n is not None
        assert rate.n.users == TARGETS
        kinds = {(m.slice or {}).get("request") for m in metrics if m.method == "rag"}
        assert kinds == {None, *REQUEST_KINDS}
        # The base is no method whose prompts hold a history, and the pretrained model's hold none.
        assert {m.method: m.status for m in metrics} == {"pretrained": "undefined", "rag": "ok"}

    def test_the_units_hold_counts_and_nothing_else(self, home: Path) -> None:
        lines = (home / "reports" / "small" / "journal.jsonl").read_text().splitlines()
        units = [json.loads(line) for line in lines]
        rows = [
            row
            for unit in units
            if str(unit.get("unit")).startswith("prompt/rag/")
            for row in unit["output"]["rows"]
        ]
        assert rows
        for row in rows:
            texts = {name for name, value in row.items() if isinstance(value, str)}
            assert texts == {"request", "kind", "side"}
            assert row["request"] in {request.id for request in REQUESTS}
            assert row["kind"] in REQUEST_KINDS
            assert row["side"] in ("prompt", "control")

    def test_nothing_that_is_written_or_printed_holds_a_word_of_a_history(self, home: Path) -> None:
        known = {
            word.encode()
            for person in people()
            for item in person["history"]
            for word in f"{item['input']} {item['answer']}".split()
        }
        files = [path for path in home.rglob("*") if path.is_file() and "cache" not in path.parts]
        written = [path for path in files if path.name != "users.jsonl"]
        assert {"results.json", "journal.jsonl", "report.html", "printed"} <= {path.name for path in written}
        for path in written:
            data = path.read_bytes()
            assert not [word for word in known if word in data], path.name

    def test_the_report_says_it_in_words(self, home: Path) -> None:
        page = (home / "reports" / "small" / "report.html").read_text()
        for said in ("Does the history in a prompt come out?", "Never in the prompt", "to sum it up"):
            assert said in page
        assert "eight tokens" in page
        assert (LEAK_RULE.run, LEAK_RULE.recall) == (8, 0.8)

    def test_the_plan_names_the_stage(self, home: Path) -> None:
        planned = run_cli("validate", home / "study.yaml", "--plan", home=home)
        assert f"{2 * TARGETS:6d}  prompt" in planned.stdout
        assert "asked to repeat the history" in planned.stdout
