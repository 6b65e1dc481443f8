"""`prime-audit personalize` on modules that a study trained; plain peft and transformers judge the result."""

import json
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from rouge_score.rouge_scorer import RougeScorer
from transformers import AutoModelForCausalLM, AutoTokenizer

import prime_audit
from prime_audit.bundled import TINY
from prime_audit.data import TASKS, Item
from prime_audit.errors import ConfigError
from prime_audit.modules import read_module
from prime_audit.personalize import METHODS, Method
from prime_audit.personalize.standalone import usable_method
from tests.e2e.conftest import Trained, plain
from tests.support import ROOT

ADAPTER = {"adapter_config.json", "adapter_model.safetensors"}
FILES = {"README.md", "private.json", *ADAPTER}


def usable(method: Method) -> bool:
    try:
        return usable_method(method.settings.model_validate({})) is method
    except ConfigError:
        return False


@pytest.fixture(scope="module")
def searched(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A personalisation by PriME, and what `--json` says of it."""
    out = tmp_path_factory.mktemp("searched") / "deep" / "er" / "out"
    finished = trained.personalize(out, "--set", "budget=16", "--json")
    assert finished.code == 0, finished.stderr
    assert "merging 3 of them" in finished.stderr
    return out, json.loads(finished.stdout)


def plain_utility(trained: Trained, adapter: Path, items: Sequence[Item]) -> float:
    """ROUGE-L of greedy answers, without a line of prime_audit around the model."""
    tokenizer: Any = AutoTokenizer.from_pretrained(TINY)
    automatic: Any = AutoModelForCausalLM
    bare = automatic.from_pretrained(TINY, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(bare, trained.adapt).merge_and_unload()
    model: Any = PeftModel.from_pretrained(adapted, adapter).eval()
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    found: list[float] = []
    for item in items:
        words = tokenizer(TASKS["lamp-4"].prompt(item.input), add_special_tokens=False)["input_ids"]
        ids = torch.tensor([[tokenizer.bos_token_id, *words]])
        asked: Any = {"do_sample": False, "max_new_tokens": 24, "pad_token_id": tokenizer.eos_token_id}
        with torch.no_grad():
            new = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **asked)
        said = tokenizer.decode(new[0, ids.shape[1] :], skip_special_tokens=True).strip()
        found.append(scorer.score(item.answer or "", said)["rougeL"].fmeasure)
    return sum(found) / len(found)


def test_plain_peft_gets_the_reported_utility(
    trained: Trained, searched: tuple[Path, dict[str, Any]]
) -> None:
    out, told = searched
    assert told["reverted"] is False
    for part, items in (("history", trained.target.history), ("queries", trained.target.queries)):
        reported = told["utility"][part]
        assert reported["items"] == len(items)
        assert reported["deployed"] > reported["base"]
        assert plain_utility(trained, out, items) == pytest.approx(reported["deployed"], abs=1e-6)


def test_a_finished_run_stands_for_its_adapters_and_its_adaptation(trained: Trained, tmp_path: Path) -> None:
    listed = trained.personalize(tmp_path / "listed", "--method", "uniform")
    assert listed.code == 0, listed.stderr
    out = tmp_path / "from-run"
    taken = trained.personalize(out, "--method", "uniform", adapters=trained.run, adapt=None)
    assert taken.code == 0, taken.stderr
    assert "adapted to the task as it was in that run" in taken.stderr
    for name in ADAPTER:
        assert (out / name).read_bytes() == (tmp_path / "listed" / name).read_bytes()


def test_a_run_whose_modules_are_gone_is_named(trained: Trained, tmp_path: Path) -> None:
    elsewhere = tmp_path / "home"
    elsewhere.mkdir()
    out = tmp_path / "out"
    finished = trained.personalize(out, adapters=trained.run, adapt=None, home=elsewhere)
    assert finished.code == 2
    assert "no longer holds its module" in finished.stderr
    assert "PRIME_AUDIT_CACHE" in finished.stderr
    assert not out.exists()


def test_the_adapter_comes_in_the_form_that_is_asked_for(trained: Trained, tmp_path: Path) -> None:
    cards, ranks, utilities = {}, {}, {}
    for form in ((), ("--rank", "2"), ("--concatenate",)):
        out = tmp_path / "-".join(("out", *form))
        finished = trained.personalize(out, "--method", "uniform", *form)
        assert finished.code == 0, finished.stderr
        cards[form] = (out / "README.md").read_text(encoding="utf-8")
        ranks[form] = read_module(out).rank
        utilities[form] = plain_utility(trained, out, trained.target.queries)
    assert "nothing is lost" in cards[()]
    assert "of the change's norm is lost" in cards["--rank", "2"]
    assert "the merged modules themselves, as slices" in cards["--concatenate",]
    assert ranks["--rank", "2"] == 2
    assert ranks["--concatenate",] == ranks[()]
    assert utilities["--concatenate",] == pytest.approx(utilities[()], abs=1e-6)
    both = trained.personalize(tmp_path / "both", "--rank", "2", "--concatenate")
    assert (both.code, (tmp_path / "both").exists()) == (2, False)
    assert "cannot be cut" in both.stderr


def test_the_folder_is_whole_and_private(trained: Trained, searched: tuple[Path, dict[str, Any]]) -> None:
    out, _ = searched
    assert {path.name for path in out.iterdir()} == FILES
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert stat.S_IMODE((out / "private.json").stat().st_mode) == 0o600


def test_the_card_names_no_sharer_and_no_weight(searched: tuple[Path, dict[str, Any]]) -> None:
    out, told = searched
    card = (out / "README.md").read_text(encoding="utf-8")
    private = json.loads((out / "private.json").read_text(encoding="utf-8"))
    shared = card + (out / "adapter_config.json").read_text(encoding="utf-8") + json.dumps(told)
    for sharer in private["sharers"]:
        assert sharer["id"] not in shared
        if sharer["weight"] is not None:
            assert f"{sharer['weight']:.4f}" not in shared
    assert "target-01" not in shared
    for part in ("minus 0.1 times the privacy term", "`budget: 16`", "Norm ratio", "No attack was run"):
        assert part in card
    for found in told["utility"].values():
        assert f"| {found['items']} | {found['base']:.4f} | {found['deployed']:.4f} |" in card


def test_the_private_file_has_sharers_weights_and_points(searched: tuple[Path, dict[str, Any]]) -> None:
    out, told = searched
    private = json.loads((out / "private.json").read_text(encoding="utf-8"))
    sharers = {sharer["id"]: sharer for sharer in private["sharers"]}
    assert len(sharers) == 4
    alone = {name: sharer["utility_alone"] for name, sharer in sharers.items()}
    assert private["considered"] == sorted(alone, key=lambda name: (-alone[name], name))[:3]
    assert [name for name, s in sharers.items() if s["weight"] is None] == [
        name for name in alone if name not in private["considered"]
    ]
    assert told["utility"]["selection"]["items"] == round(0.4 * told["utility"]["history"]["items"])
    chosen = private["points"][private["chosen"]]
    assert chosen["part"] == "selection"
    assert chosen["w"] == [sharers[name]["weight"] for name in private["considered"]]
    assert chosen["u"] == told["utility"]["selection"]["deployed"]
    assert private["adapter"] == told["adapter"]


def test_a_method_that_falls_back_writes_no_adapter_and_says_so(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "out"
    finished = trained.personalize(out, "--set", "budget=13", "--set", "margin=1.0", "--json")
    assert finished.code == 0, finished.stderr
    assert "prime kept the base: " in finished.stderr
    assert "no adapter was written" in finished.stderr
    told = json.loads(finished.stdout)
    assert (told["reverted"], told["adapter"], told["norm_ratio"]) == (True, None, 0.0)
    assert told["utility"]["history"]["base"] == told["utility"]["history"]["deployed"]
    assert {path.name for path in out.iterdir()} == {"README.md", "private.json"}
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "# The base was kept" in card
    assert told["reason"] in card
    assert json.loads((out / "private.json").read_text(encoding="utf-8"))["reverted"] is True


def test_python_does_what_the_command_does_and_equal_calls_give_equal_bytes(
    trained: Trained, tmp_path: Path
) -> None:
    items = tmp_path / "items.jsonl"
    lines = [json.dumps({**plain(item), "id": None}) for item in trained.target.history[:6]]
    items.write_text("\n".join(lines), encoding="utf-8")
    options = ("--method", "uniform", "--sharers", "2", "--set", "scale=0.5", "--set", "model.device=cpu")
    for _ in range(2):
        finished = trained.personalize(tmp_path / "cli", *options, "--json", "--force", history=items)
        assert finished.code == 0, finished.stderr
    told = json.loads(finished.stdout)
    said: list[str] = []
    calls = [
        prime_audit.personalize(
            "tiny",
            trained.adapters,
            items,
            "lamp-4",
            tmp_path / name,
            method={"kind": "uniform", "scale": 0.5},
            adapt=trained.adapt,
            sharers=2,
            progress=said.append,
        )
        for name in ("one", "two")
    ]
    done = calls[0]
    assert said[0] == "4 adapters and 6 history items on tiny"
    assert done.norm_ratio == pytest.approx(told["norm_ratio"], abs=1e-6)
    assert done.utility["history"].deployed == pytest.approx(told["utility"]["history"]["deployed"])
    assert done.utility.keys() == told["utility"].keys() == {"history"}
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    private = json.loads((tmp_path / "cli" / "private.json").read_text(encoding="utf-8"))
    assert [s["weight"] for s in private["sharers"] if s["weight"] is not None] == [0.25, 0.25]


SMALL: dict[str, dict[str, object]] = {"prime": {"budget": 14}, "lorahub": {"budget": 8}, "ties": {"rank": 4}}


@pytest.mark.parametrize("kind", [kind for kind, method in METHODS.items() if usable(method)])
def test_every_method_that_says_it_can_be_used_writes_a_readable_result(
    kind: str, trained: Trained, tmp_path: Path
) -> None:
    items = tmp_path / "items.jsonl"
    lines = [json.dumps(plain(item)) for item in trained.target.history[:8]]
    items.write_text("\n".join(lines), encoding="utf-8")
    method = {"kind": kind, **SMALL.get(kind, {})}
    out = tmp_path / "out"
    done = prime_audit.personalize(
        "tiny", trained.adapters, items, "lamp-4", out, method=method, adapt=trained.adapt
    )
    assert {path.name for path in out.iterdir()} == (FILES - ADAPTER if done.reverted else FILES)
    if not done.reverted:
        assert read_module(out).digest == done.adapter
        assert done.norm_ratio > 0
    assert f"(`{kind}`)" in (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("first", ["", "import prime_audit.personalize; ", "import prime_audit.cli.app; "])
def test_the_name_can_be_called_whatever_was_imported_before(first: str) -> None:
    code = f"import sys, prime_audit; {first}before = 'torch' in sys.modules; "
    code += "from prime_audit import personalize; assert personalize is prime_audit.personalize; "
    code += "prime_audit.personalize('tiny', 'no/adapters', 'none', 'lamp-4', 'out', method='oppu')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "ConfigError: method 'oppu' cannot be used here" in done.stderr


def test_help_loads_no_torch() -> None:
    code = "import sys; from prime_audit.cli.app import main\n"
    code += "try: main(['personalize', '--help'])\nexcept SystemExit: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--adapters" in done.stdout
    assert done.stdout.endswith("False\n")
