"""Auditing one's own model: what it memorised is found, what it never saw is not."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import prime_audit
from prime_audit.bring.listed import Entry
from prime_audit.bring.passes import Probe, examples_of, token_numbers
from prime_audit.config import ModelConfig, TrainingConfig, load_study
from prime_audit.data.records import Faults, Place
from prime_audit.errors import ConfigError, ModelError, PrimeAuditError
from prime_audit.models import Example, LanguageModel, load_model, score_tokens
from prime_audit.modules import merged_into, read_module, train_module, write_module
from prime_audit.results import Metric, Results, read_results
from prime_audit.study.inputs import load_dataset
from tests.models.toy import toy_model, toy_tokenizer
from tests.support import run_cli


def figure(
    results: Results, name: str = "mia.auc", attack: str | None = None, method: str = "model"
) -> Metric:
    attack = attack or results.study.primary
    (found,) = (
        m for m in results.metrics if (m.id, m.attack, m.method, m.user) == (name, attack, method, None)
    )
    return found


def write_lines(path: Path, records: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


@dataclass(frozen=True)
class Own:
    """A model of one's own: an adapter trained on half of some texts, and the lists of both halves."""

    home: Path
    base: LanguageModel
    records: list[dict[str, Any]]

    def attack(self, base: str | Path = "tiny", **options: object) -> Results:
        lists = {name: self.home / f"{name}.jsonl" for name in ("members", "nonmembers")}
        given: dict[str, Any] = {"out": self.home / "out", **lists, **options}
        return prime_audit.attack(base=str(base), **given)

    def refused(self, error: type[PrimeAuditError], match: str, **options: object) -> PrimeAuditError:
        with pytest.raises(error, match=match) as caught:
            self.attack("tiny", out=self.home / "refused", **options)
        assert not (self.home / "refused").exists()
        return caught.value


def train(base: LanguageModel, records: Sequence[dict[str, Any]], folder: Path) -> None:
    examples = [Example(record["prompt"], record["text"]) for record in records]
    layers = ("q_proj", "v_proj", "up_proj", "down_proj")
    training = TrainingConfig(rank=8, alpha=16, lr=5e-3, epochs=14, target_modules=layers)
    write_module(train_module(base, examples, training, seed=5), folder, "tiny")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    home = tmp_path_factory.mktemp("own")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    base = load_model(ModelConfig(base="tiny", dtype="float32", device="cpu"), home)
    dataset = load_dataset(load_study("quickstart"))
    records = [
        {
            "id": item.id,
            "user": user.id,
            "prompt": dataset.task.prompt(item.input),
            "text": f" {item.answer}",
        }
        for user in dataset.sharers[:6]
        for item in user.history[:20]
    ]
    asked, others = records[:80], records[80:]
    coin = np.random.default_rng(1).integers(0, 2, len(asked)).astype(bool)
    members = [record for record, flag in zip(asked, coin, strict=True) if flag]
    write_lines(home / "members.jsonl", members)
    write_lines(home / "nonmembers.jsonl", [r for r, flag in zip(asked, coin, strict=True) if not flag])
    write_lines(home / "public.jsonl", others)
    train(base, members, home / "adapter")
    train(base, others, home / "elsewhere")
    yield Own(home, base, records)
    torch.set_num_threads(threads)


def test_an_adapter_that_memorised_its_members_is_told(own: Own) -> None:
    results = own.attack(adapter=own.home / "adapter")
    assert results.study.kind == "attack"
    assert figure(results).value > 0.95  # type: ignore[operator]
    (finding,) = (f for f in results.findings if f.method == "model")
    assert finding.verdict == "difference"
    ran = {name.partition("/")[2] for name in results.coverage.run if name.startswith("model/")}
    assert {"loss", "zlib", "lowercase", "min-k++", "reference", "ez", "wbc", "gradient-norm"} <= ran
    # Training makes the gradients of its own records small.
    assert figure(results, attack="gradient-norm").value > 0.9  # type: ignore[operator]
    skipped = {gap.id: gap.reason for gap in results.coverage.skipped}
    assert skipped["model/amplify"].startswith("only in a study")
    assert skipped["model/recall"].startswith("give --public FILE")
    base = figure(results, attack="loss", method="control-base").value
    assert base is not None
    assert abs(base - 0.5) < 0.2
    evidence = own.home / "out" / "evidence"
    assert {path.name for path in evidence.iterdir()} == {
        "model.safetensors",
        "reference.safetensors",
        "records.json",
    }
    for path in (own.home / "out").rglob("*"):
        assert not path.is_file() or own.records[0]["text"].strip().encode() not in path.read_bytes()


def test_a_leak_is_stated_where_a_coin_was_flipped(own: Own) -> None:
    results = own.attack(adapter=own.home / "adapter", randomised=True)
    assert {f.method: f.verdict for f in results.findings} == {
        "model": "leak",
        "control-base": "none detected",
        "control-blind": "none detected",
    }
    assert results.study.design == "lists-randomised"


def test_an_adapter_that_saw_none_of_them_shows_nothing(own: Own) -> None:
    for randomised in (False, True):
        results = own.attack(adapter=own.home / "elsewhere", randomised=randomised)
        (finding,) = (f for f in results.findings if f.method == "model")
        assert finding.verdict == "none detected"
        assert finding.could_have_seen is not None
        auc = figure(results).value
        assert auc is not None
        # 3 null standard deviations of 4 users with about 10 + 10 records each.
        assert abs(auc - 0.5) < 0.2


def test_a_merged_model_is_audited_as_the_adapter_is(own: Own) -> None:
    merged = merged_into(own.base, read_module(own.home / "adapter", own.base))
    folder = own.home / "merged"
    merged.model.save_pretrained(folder)
    merged.tokenizer.save_pretrained(folder)
    beside = own.attack(adapter=own.home / "adapter")
    alone = own.attack(folder)
    with_base = own.attack(folder, reference="tiny")
    assert alone.study.primary == "loss"
    skipped = {gap.id: gap.reason for gap in alone.coverage.skipped}
    assert skipped["model/reference"].startswith("give --adapter DIR, or name the model")
    assert skipped["model/gradient-norm"].startswith("give --adapter DIR")
    for attack in ("loss", "min-k"):
        assert figure(alone, attack=attack).value == pytest.approx(
            figure(beside, attack=attack).value, abs=0.01
        )
    assert figure(with_base).value == pytest.approx(figure(beside).value, abs=0.01)


def test_public_records_open_attacks(own: Own) -> None:
    results = own.attack(adapter=own.home / "adapter", public=own.home / "public.jsonl")
    ran = {name.partition("/")[2] for name in results.coverage.run if name.startswith("model/")}
    assert {"recall", "dc-pdd", "camia"} <= ran
    assert figure(results, attack="recall").status == "ok"
    assert figure(results, attack="camia").status == "ok"


def test_a_reference_with_another_tokenizer_is_refused_by_name(own: Own) -> None:
    folder = own.home / "other"
    toy_model().save_pretrained(folder)
    toy_tokenizer().save_pretrained(folder)
    match = f"reference {folder}: has another tokenizer than tiny: it cuts record"
    own.refused(ModelError, match, adapter=own.home / "adapter", reference=str(folder))


def test_a_dora_adapter_is_refused_by_name(own: Own) -> None:
    folder = own.home / "dora"
    shutil.copytree(own.home / "adapter", folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    own.refused(ModelError, "DoRA", adapter=folder)


def test_the_base_of_no_adapter_is_refused_as_a_reference(own: Own) -> None:
    error = own.refused(ConfigError, "there is no --adapter", reference="base")
    assert "--reference none" in error.hint


def test_records_that_do_not_fit_are_counted(own: Own) -> None:
    told: list[str] = []
    results = own.attack(adapter=own.home / "adapter", max_tokens=16, progress=told.append)
    assert results == read_results(own.home / "out" / "results.json")
    assert any("records are longer than 16 tokens and were cut" in line for line in told)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_end_of_sequence_token_is_not_scored(count: int, own: Own) -> None:
    entries = [
        Entry(record["id"], None, True, record["text"], Place(Faults(), ""), record["prompt"])
        for record in own.records[:count]
    ]
    probe = Probe(own.base, None, token_numbers(own.base, entries))
    found = probe.plain(entries)
    whole = score_tokens(own.base, examples_of(entries))
    assert found.lengths.tolist() == (whole.lengths - 1).tolist()
    for place in range(count):
        inside = whole.record(place)
        np.testing.assert_array_equal(found.logp[found.record(place)], whole.logp[inside][:-1])


def test_through_the_command_line(own: Own) -> None:
    lists = ("--members", own.home / "members.jsonl", "--nonmembers", own.home / "nonmembers.jsonl")
    words = ("attack", "--base", "tiny", "--adapter", own.home / "adapter", *lists, "--json")
    done = run_cli(*words, home=own.home)
    assert done.code == 0, done.stderr
    assert Results.model_validate_json(done.stdout) == own.attack(adapter=own.home / "adapter")
    page = (own.home / "reports" / "attack" / "report.html").read_text(encoding="utf-8")
    assert "adapter on tiny" in page
    assert own.records[0]["text"].strip() not in page
