"""An adapter is audited on the base that it is deployed on, in 4 bits or in full, never on the other one."""

import json
import shutil
from pathlib import Path

import pytest

import prime_audit
from prime_audit.bring.deployment import deployment_of
from prime_audit.config import ModelConfig, TrainingConfig
from prime_audit.core import read_json
from prime_audit.errors import DataError, ModelError
from prime_audit.models import FOUR_BITS, Example, load_model
from prime_audit.modules import train_module, write_module
from prime_audit.results import Results
from tests.support import needs_bitsandbytes

HELD = dict(FOUR_BITS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the bundled model, and two lists of records."""
    home = tmp_path_factory.mktemp("precision")
    base = load_model(ModelConfig(base="tiny", dtype="float32", device="cpu"), home)
    texts = [f" a report on the {place} of the town" for place in ("bridge", "garden", "hall", "park")]
    training = TrainingConfig(rank=2, alpha=4, lr=5e-3, epochs=2)
    write_module(
        train_module(base, [Example("", text) for text in texts], training, 1), home / "bare", "tiny"
    )
    for name, which in (("members", texts), ("nonmembers", [f"{text} at night" for text in texts])):
        lines = [json.dumps({"id": f"{name}{place}", "text": text}) for place, text in enumerate(which)]
        (home / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return home


def deployed(home: Path, folder: Path, quantization: object, by: str, adapted: str | None = None) -> Path:
    """The adapter as `personalize` writes it, or as a run does, which say what it is deployed on."""
    adapter = folder / "modules" / "uniform" / "ann"
    shutil.copytree(home / "bare", adapter)
    name, section = ("private.json", "base") if by == "personalize" else ("manifest.json", "model")
    beside = adapter if by == "personalize" else folder
    digest = load_model(ModelConfig(base="tiny", dtype="float32", device="cpu"), folder).digest
    base = {"name": "tiny", "quantization": quantization, "digest": digest}
    under = {"adaptation": adapted} if by == "personalize" else {"modules": {"adaptation": adapted}}
    (beside / name).write_text(json.dumps({section: base, **under}))
    return adapter


def attack(home: Path, out: Path, adapter: Path, **options: object) -> Results:
    lists = {name: home / f"{name}.jsonl" for name in ("members", "nonmembers")}
    return prime_audit.attack(base="tiny", adapter=adapter, out=out, **lists, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("by", ["personalize", "evaluate"])
class TestAnAdapterThatSaysWhatItsBaseIs:
    def test_of_a_base_in_4_bits_it_is_refused_on_one_in_full(
        self, trained: Path, tmp_path: Path, by: str
    ) -> None:
        adapter = deployed(trained, tmp_path, HELD, by)
        with pytest.raises(ModelError, match="its base is in 4 bits, and here the base is in full") as caught:
            attack(trained, tmp_path / "out", adapter)
        assert caught.value.hint == "add --quantize 4bit"
        assert not (tmp_path / "out").exists()

    def test_on_a_task_adaptation_it_is_refused_on_the_bare_base(
        self, trained: Path, tmp_path: Path, by: str
    ) -> None:
        adapter = deployed(trained, tmp_path, None, by, adapted="0" * 64)
        with pytest.raises(ModelError, match="lies on a task adaptation of this base") as caught:
            attack(trained, tmp_path / "out", adapter)
        assert "merge the adaptation into the base" in caught.value.hint
        assert not (tmp_path / "out").exists()

    @needs_bitsandbytes
    def test_of_a_base_in_full_it_is_refused_on_one_in_4_bits(
        self, trained: Path, tmp_path: Path, by: str
    ) -> None:
        adapter = deployed(trained, tmp_path, None, by)
        with pytest.raises(ModelError, match="its base is in full, and here the base is in 4 bits") as caught:
            attack(trained, tmp_path / "out", adapter, quantize="4bit")
        assert caught.value.hint == "leave --quantize out"

    def test_on_its_own_base_it_is_audited(self, trained: Path, tmp_path: Path, by: str) -> None:
        results = attack(trained, tmp_path / "out", deployed(trained, tmp_path, None, by))
        assert results.status == "complete"

    def test_a_broken_file_is_named(self, trained: Path, tmp_path: Path, by: str) -> None:
        adapter = deployed(trained, tmp_path, None, by)
        for path in (*adapter.glob("private.json"), *tmp_path.glob("manifest.json")):
            path.write_text("{")
        with pytest.raises(DataError, match=r"(private|manifest)\.json"):
            attack(trained, tmp_path / "out", adapter)


def test_any_other_adapter_says_nothing(trained: Path) -> None:
    assert deployment_of(trained / "bare") is None


@needs_bitsandbytes
def test_a_model_in_4_bits_is_another_model(trained: Path, tmp_path: Path) -> None:
    full = attack(trained, tmp_path / "full", trained / "bare")
    packed = attack(trained, tmp_path / "packed", trained / "bare", quantize="4bit")
    assert full.study.config_digest != packed.study.config_digest
    manifests = [read_json(tmp_path / name / "manifest.json") for name in ("full", "packed")]
    assert [one["model"]["quantization"] for one in manifests] == [None, HELD]  # type: ignore[index]
