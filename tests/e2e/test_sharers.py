"""Every way to choose sharers through the real command line."""

import json
from pathlib import Path

import pytest

from tests.sentence_folder import write_sentence_folder
from tests.support import run_cli, write_study


@pytest.mark.parametrize("embedder", ["base", "tfidf", "encoder"])
def test_a_study_with_each_embedder(embedder: str, tmp_path: Path) -> None:
    if embedder == "encoder":
        # A path in a study file starts at the file's folder.
        write_sentence_folder(tmp_path / embedder)
    sharers = {"per_target": 2, "representatives": 3, "embedder": embedder, "calibration": 0.2}
    audit = {"permutations": 1000, "controls": ["base", "placebo"]}
    study = write_study(tmp_path, sharers=sharers, audit=audit)
    finished = run_cli("evaluate", study, "--json", home=tmp_path)
    assert finished.code == 0, finished.stderr
    results = json.loads(finished.stdout)
    (search,) = [entry for entry in results["search"] if entry["method"] == "uniform"]
    assert len(search["sharers"]) == 2
    design = json.loads((tmp_path / "reports/small/manifest.json").read_text(encoding="utf-8"))["design"]
    assert design["calibration"] > 0
    attempted = {
        m["n"]["attempted"] for m in results["metrics"] if m["id"] == "mia.auc" and m["user"] is None
    }
    published = json.loads((tmp_path / "reports/small/evidence/design.json").read_text(encoding="utf-8"))
    kept = {u["id"]: sum("calibration" not in r for r in u["records"]) for u in published["users"]}
    assert attempted == {sum(kept[sharer] for sharer in search["sharers"])}


def test_a_bad_encoder_is_refused_before_any_work(tmp_path: Path) -> None:
    folder = write_sentence_folder(tmp_path / "encoder", modules=("Transformer", "Pooling", "Dense"))
    study = write_study(tmp_path, sharers={"per_target": 2, "embedder": str(folder)})
    finished = run_cli("evaluate", study, home=tmp_path)
    assert finished.code == 2, finished.stderr
    assert "sentence_transformers.models.Dense" in finished.stderr
    assert "units of work" not in finished.stderr
    assert "Traceback" not in finished.stderr
