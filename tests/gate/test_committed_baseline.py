"""The committed baseline is of the bundled study as it is now; found here, and not after a build's run."""

from pathlib import Path

from attacks import ATTACKS
from prime_audit.config import load_study
from prime_audit.gate import read_baseline
from prime_audit.gate.runs import settings_digest
from prime_audit.results.schema import SCHEMA_VERSION
from prime_audit.study.inputs import draw_design, load_dataset
from prime_audit.study.store import Store
from prime_audit.study.workbench import Workbench
from tests.support import ROOT


def test_it_stands_beside_a_run_of_today(tmp_path: Path) -> None:
    baseline = read_baseline(ROOT / "reports" / "baselines" / "quickstart.json")
    config = load_study("quickstart")
    dataset = load_dataset(config)
    bench = Workbench(config, dataset, draw_design(config, dataset), Store(tmp_path / "store"), tmp_path)
    kept = baseline.identity
    assert kept.data == dataset.digest
    assert kept.design == {name: design["commitment"] for name, design in bench.designs().items()}
    assert kept.attacks == {attack: ATTACKS[attack].version for attack in kept.attacks}
    assert kept.results_schema == SCHEMA_VERSION
    # Fails where a setting of the bundled study changes: make the baseline anew, with the reason.
    assert kept.study == settings_digest(config.model_dump(mode="json"))
    assert len(baseline.runs) == 5


def test_a_setting_that_is_not_set_changes_no_digest() -> None:
    study = load_study("quickstart").model_dump(mode="json")
    before = settings_digest(study)
    study["model"]["later"] = None
    assert settings_digest(study) == before
    study["model"]["later"] = "set"
    assert settings_digest(study) != before
