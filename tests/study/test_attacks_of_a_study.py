"""Every attack and every design, through a whole small study; the published protocol beside it."""

import json
from pathlib import Path
from typing import Any

import pytest

from prime_audit import load_results
from prime_audit.config import BUILT_IN_ATTACKS, load_study
from prime_audit.errors import ConfigError
from prime_audit.results import Metric, Results
from prime_audit.study.plan import describe_plan
from tests.support import Finished, run_cli, write_study

METHODS = ["base", "oppu", "uniform", "ties", {"kind": "prime", "budget": 12, "margin": 1.0}]
AUDIT = {
    "permutations": 1000,
    "attacks": "all",
    "controls": ["base", "own-module", "placebo", "blind"],
    "passes": {"targets": 1, "neighbours": 2, "shots": 1, "samples": 1, "population": 10},
    "shadows": {"count": 8},
    "swaps": {"records": 1, "methods": ["uniform"]},
    "pools": {"methods": ["uniform"]},
}
SHADOW_ATTACKS = ("lira", "lira-offline", "rmia", "rmia-offline", "base-mia", "bavaria")
DATA = {"sharers": 4, "targets": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    finished = run_cli("evaluate", write_study(home, methods=METHODS, audit=AUDIT, data=DATA), home=home)
    assert finished.code == 0, finished.stderr
    return home / "reports" / "small"


@pytest.fixture(scope="module")
def results(run: Path) -> Results:
    return load_results(run)


def one(results: Results, name: str, method: str, attack: str | None = None, **part: str) -> Metric:
    (found,) = [
        m
        for m in results.metrics
        if (m.id, m.method, m.attack, m.user) == (name, method, attack, None) and (m.slice or {}) == part
    ]
    return found


def test_every_attack_is_run_or_its_absence_explained(results: Results) -> None:
    run, skipped = set(results.coverage.run), {gap.id: gap.reason for gap in results.coverage.skipped}
    for method in ("uniform", "oppu", "control-own-module"):
        for attack in BUILT_IN_ATTACKS:
            assert (f"{method}/{attack}" in run) != (f"{method}/{attack}" in skipped), (method, attack)
    assert {f"uniform/{attack}" for attack in BUILT_IN_ATTACKS} <= run
    assert skipped["oppu/lira"] == "it has no shadows"
    assert "audit.shadows.weights to 'remade'" in skipped["ties/lira"]
    assert "one half by definition" in skipped["control-base/reference"]


def test_shadow_attacks_have_figures_on_merges_and_on_own_modules(results: Results) -> None:
    for attack in SHADOW_ATTACKS:
        for method in ("uniform", "control-own-module"):
            assert one(results, "mia.auc", method, attack).value is not None, (method, attack)


def test_what_fell_back_to_the_base_gives_shadow_attacks_nothing(results: Results) -> None:
    assert {entry.method for entry in results.coverage.reverted} == {"prime"}
    for attack in ("lira", "base-mia", "amplify", "gradient-norm"):
        found = one(results, "mia.auc", "prime", attack)
        assert found.value is None or found.value == 0.5, attack


def test_every_design_is_committed_by_a_hash(run: Path) -> None:
    for name in ("design", "design-shadows", "design-swaps", "design-pools"):
        found = json.loads((run / "evidence" / f"{name}.json").read_text())
        assert len(found["commitment"]) == 64
        assert "headline" not in json.dumps(found).lower()


def test_swaps_show_what_a_record_changes(results: Results) -> None:
    own = one(results, "swap.gap", "control-own-module", weights="own")
    merged = one(results, "swap.gap", "uniform", weights="frozen")
    assert own.value is not None
    assert merged.value is not None
    assert own.unit == "nats per token"
    # The weights of the uniform merge do not depend on the module, so choosing them again adds nothing.
    assert one(results, "swap.gap", "uniform", weights="remade").value == pytest.approx(
        merged.value, abs=1e-5
    )
    assert own.value > abs(merged.value) * 0.5
    assert one(results, "swap.p", "uniform", weights="frozen").value is not None


def test_pools_compare_the_same_sharers_with_and_without_their_module(results: Results) -> None:
    for records in ("held-out", "members"):
        gap = one(results, "user.gap", "uniform", records=records)
        assert gap.n is not None
        assert gap.n.users == 4
        assert one(results, "user.auc", "uniform", records=records).value is not None


def test_the_blind_control_saw_no_model(results: Results) -> None:
    (info,) = [attack for attack in results.attacks if attack.id == "blind"]
    assert (info.kind, info.needs) == ("control", ("text",))
    found = [m for m in results.metrics if m.id == "mia.auc" and m.method == "control-blind" and not m.user]
    assert {m.subject for m in found} == {"sharer", "target"}


def test_the_report_shows_the_designs(run: Path) -> None:
    page = (run / "report.html").read_text()
    for words in ("Swaps of one record", "Sharers exchanged", "merge weights as deployed", "bavaria"):
        assert words in page


def test_evidence_holds_no_text(run: Path) -> None:
    words = {"headline", "alpha", "story"}
    for path in (run / "evidence").iterdir():
        data = path.read_bytes()
        assert not any(f" {word} ".encode() in data for word in words), path.name


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    home = tmp_path_factory.mktemp("paper")
    audit = {"permutations": 1000, "design": "prime-paper", "attacks": ["loss-sum", "loss", "reference"]}
    study = write_study(home, methods=["base", "oppu", "uniform"], audit=audit, data=DATA)
    finished = run_cli("evaluate", study, home=home)
    assert finished.code == 0, finished.stderr
    return finished, home / "reports" / "small"


class TestThePublishedProtocol:
    def test_members_are_the_merged_sharers_records(self, paper: tuple[Finished, Path]) -> None:
        results = load_results(paper[1])
        found = one(results, "mia.auc", "uniform", "loss-sum")
        design = json.loads((paper[1] / "evidence" / "design.json").read_text())
        records = {user["id"]: len(user["records"]) for user in design["users"]}
        sharers = [name for name in records if name.startswith("sharer")]
        assert found.n is not None
        # Each record is counted once, however many targets it is scored for.
        assert found.n.attempted == found.n.scored == sum(records[name] for name in sharers)
        assert all(record["member"] for user in design["users"] for record in user["records"])
        assert design["design"] == results.study.design == "prime-paper"

    def test_no_leak_is_stated_and_the_base_stands_beside(self, paper: tuple[Finished, Path]) -> None:
        results = load_results(paper[1])
        assert {finding.verdict for finding in results.findings} <= {
            "difference",
            "none detected",
            "inconclusive",
        }
        assert one(results, "mia.auc", "control-base", "loss").value is not None
        assert one(results, "mia.auc", "control-blind", "blind").value is not None
        assert one(results, "mia.auc_above_blind", "uniform", "loss").value is not None
        assert "oppu/attacks" in {gap.id for gap in results.coverage.skipped}
        attacked = [m for m in results.metrics if m.id.startswith("mia.")]
        assert [m for m in attacked if m.ci is not None or m.sharers_ci is not None] == []
        (said,) = [finding.reason for finding in results.findings if finding.method == "uniform"]
        assert said.endswith("no interval: every target's figure is about the same sharers' records")
        assert "Nobody flipped a coin" in (paper[1] / "report.html").read_text()


def study(tmp_path: Path, audit: dict[str, Any], **sections: object) -> Path:
    return write_study(tmp_path, **{"methods": ["base", "uniform"], "audit": audit, **sections})


@pytest.mark.parametrize(
    ("audit", "message"),
    [
        ({"attacks": ["lira"]}, "lira compares with shadow modules, and the study trains none"),
        ({"shadows": {"sharers": 9}}, "audit.shadows.sharers is 9, but the data hold 4 sharers"),
        ({"passes": {"methods": ["unifrom"]}}, "audit.passes.methods: 'unifrom' is no method of this study"),
        ({"swaps": {"methods": ["base"]}}, "audit.swaps.methods: 'base' is no method of this study"),
        ({"swaps": {"methods": ["per-pcs"]}}, "method per-pcs cannot be made again of swapped modules"),
    ],
)
def test_what_a_study_cannot_give_is_refused_before_any_compute(
    tmp_path: Path, audit: dict[str, Any], message: str
) -> None:
    methods = ["base", "uniform", "per-pcs"]
    loaded = load_study(str(study(tmp_path, {"controls": ["base"], **audit}, methods=methods)))
    with pytest.raises(ConfigError) as caught:
        describe_plan(loaded)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("audit", "message"),
    [
        ({"shadows": {"count": 7}}, "count"),
        ({"shadows": {"count": 4}}, "count"),
        ({"design": "prime-paper", "swaps": {}}, "'swaps' needs 'design: holdout'"),
        (
            {"attacks": ["loss"], "primary": "reference"},
            "'primary' is reference, which is not among the attacks",
        ),
        ({"attacks": ["loss", "loss"]}, "attack 'loss' is listed twice"),
    ],
)
def test_contradictions_are_named(tmp_path: Path, audit: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_study(str(study(tmp_path, audit)))


def test_swaps_without_the_control_of_own_modules_speak_of_no_method_that_is_not_there(
    tmp_path: Path,
) -> None:
    audit = {
        "permutations": 1000,
        "controls": ["base"],
        "attacks": ["loss"],
        "swaps": {"methods": ["uniform"]},
    }
    finished = run_cli("evaluate", study(tmp_path, audit), home=tmp_path)
    assert finished.code == 0, finished.stderr
    metrics = load_results(tmp_path / "reports" / "small").metrics
    assert {metric.method for metric in metrics if metric.id == "swap.gap"} == {"uniform"}


def test_the_same_command_again_finds_everything_finished(run: Path) -> None:
    before = {name: (run / name).read_bytes() for name in ("journal.jsonl", "results.json", "manifest.json")}
    home = run.parent.parent
    finished = run_cli("evaluate", home / "study.yaml", home=home)
    assert finished.code == 0, finished.stderr
    assert {name: (run / name).read_bytes() for name in before} == before


def test_an_attack_by_another_sharer_needs_one(tmp_path: Path) -> None:
    path = study(tmp_path, {"controls": ["base"], "attacks": ["con-recall"]}, sharers={"per_target": 1})
    with pytest.raises(ConfigError, match="con-recall is made by another sharer of the same merge"):
        describe_plan(load_study(str(path)))


def test_what_was_run_for_some_targets_says_so(run: Path, results: Results) -> None:
    partial = {gap.id: gap.reason for gap in results.coverage.partial}
    assert partial["uniform/lowercase"] == partial["uniform/lira"] == "run on 1 of 2 models"
    assert "uniform/loss" not in partial
    assert (
        f"What was run in part, or not quite as deployed ({len(partial)})"
        in (run / "report.html").read_text()
    )


def test_a_method_that_no_attack_could_be_run_on_is_inconclusive_and_says_why(tmp_path: Path) -> None:
    audit = {
        "permutations": 1000,
        "controls": ["base"],
        "attacks": ["lowercase"],
        "passes": {"methods": ["uniform"]},
    }
    methods = ["base", "uniform", {"kind": "ties"}]
    finished = run_cli("evaluate", study(tmp_path, audit, methods=methods), home=tmp_path)
    assert finished.code == 0, finished.stderr
    found = load_results(tmp_path / "reports" / "small")
    (finding,) = [finding for finding in found.findings if finding.method == "ties"]
    assert finding.verdict == "inconclusive"
    assert finding.reason == "no attack could be run on it; what was skipped says why"
    skipped = {gap.id: gap.reason for gap in found.coverage.skipped}
    assert skipped["ties/lowercase"] == "the study measured no lowercase of it"
    assert "ties/attacks" not in skipped


def test_too_few_sharers_for_two_pools(tmp_path: Path) -> None:
    path = study(tmp_path, {"controls": ["base"], "pools": {}}, sharers={"per_target": 3})
    with pytest.raises(ConfigError, match=r"audit\.pools halves the 4 sharers, but each target gets 3"):
        describe_plan(load_study(str(path)))


def test_shadows_of_private_sharers_are_refused(tmp_path: Path) -> None:
    path = study(
        tmp_path, {"controls": ["base"], "shadows": {}}, sharers={"per_target": 2, "privacy": {"noise": 1.0}}
    )
    with pytest.raises(ConfigError, match=r"audit\.shadows trains modules without privacy"):
        describe_plan(load_study(str(path)))
