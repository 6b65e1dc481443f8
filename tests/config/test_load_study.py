"""Loading studies: defaults, overrides, paths, and a clear word for every fault."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

import prime_audit.config.load as loading
from prime_audit.config import (
    CANARY_TYPES,
    DEFAULT_ATTACKS,
    CanariesConfig,
    OppuMethod,
    PrimeMethod,
    RagMethod,
    StudyConfig,
    bundled_studies,
    load_study,
    study_schema,
)
from prime_audit.config.explain import nearest, valid_paths
from prime_audit.errors import ConfigError

MINIMAL = "schema_version: 1\nname: s\ntask: lamp-4\n"
FULL = """\
schema_version: 1
name: quickstart
seed: 7
task: lamp-4
data: {path: null, layout: auto, sharers: 12, targets: 12, max_input_words: null}
model: {base: tiny, dtype: auto, device: auto, revision: null, offline: true}
training: {rank: 8, alpha: 8, lr: 2.0e-4, epochs: 3, loss: answer}
adaptation: {max_items: null}
sharers: {embedder: base, per_target: 3}
methods: [base, rag, oppu, uniform, {kind: prime, id: prime, alpha: 0.1, budget: 40}]
audit: {design: holdout, attacks: default, controls: [base, own-module, placebo, blind], canaries: null}
gate: {rules: []}
report: {title: null}
run: {executor: local, workers: 1, threads_per_worker: null}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(MINIMAL)
    return path


def fault(path: Path, extra: str = "", *overrides: str) -> str:
    """The error text of a minimal study with some more lines, without the path of the file."""
    path.write_text(MINIMAL + extra)
    with pytest.raises(ConfigError) as caught:
        load_study(path, overrides)
    return str(caught.value).replace(str(path), "study.yaml")


def test_the_documented_study_is_the_default_study(tmp_path: Path, study: Path) -> None:
    full = tmp_path / "full.yaml"
    full.write_text(FULL)
    loaded = load_study(full)
    spare = load_study(study, ["name=quickstart", "data.sharers=12", "data.targets=12"])
    assert loaded == spare
    assert [method.id for method in loaded.methods] == ["base", "rag", "oppu", "uniform", "prime"]
    assert loaded.audit.attack_ids == DEFAULT_ATTACKS


def test_a_resolved_study_loads_again_unchanged(tmp_path: Path, study: Path) -> None:
    first = load_study(study, ["audit.attacks=[loss, zlib]", "methods.prime.space=exact"])
    again = tmp_path / "again.yaml"
    again.write_text(json.dumps(first.model_dump(mode="json")))
    assert load_study(again) == first


def test_a_study_is_frozen(study: Path) -> None:
    config = load_study(study)
    with pytest.raises(ValidationError):
        config.seed = 3  # type: ignore[misc]


def test_methods_by_name_and_by_section(study: Path) -> None:
    study.write_text(MINIMAL + "methods: [rag, {kind: rag, id: rag-4, k: 4}, {kind: oppu, epochs: 2}]\n")
    methods = load_study(study).methods
    assert methods == (
        RagMethod(kind="rag", id="rag", k=2),
        RagMethod(kind="rag", id="rag-4", k=4),
        OppuMethod(kind="oppu", id="oppu", epochs=2),
    )


def test_overrides_reach_sections_and_methods(study: Path) -> None:
    config = load_study(
        study,
        [
            "training.lr=1e-3",
            "methods=[base, prime]",
            "methods.prime.alpha=0.5",
            "methods.1.budget=9",
            "audit.controls=[]",
            "gate.rules=[{metric: mia.auc, max: 0.6}]",
            "gate.rules.0.max=0.7",
            "report.title=a=b",
        ],
        seed=11,
    )
    assert config.training.lr == 0.001
    prime = config.methods[1]
    assert isinstance(prime, PrimeMethod)
    assert (prime.alpha, prime.budget) == (0.5, 9)
    assert config.audit.controls == ()
    assert config.gate.rules[0].max == 0.7
    assert config.report.title == "a=b"
    assert config.seed == 11


def test_an_empty_section_can_be_overridden(study: Path) -> None:
    study.write_text(MINIMAL + "training:\n")
    assert load_study(study, ["training.rank=2"]).training.rank == 2


def test_paths_start_at_the_study_and_overrides_at_the_working_directory(
    tmp_path: Path, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    (tmp_path / "models" / "llama").mkdir(parents=True)
    work.mkdir()
    monkeypatch.chdir(work)
    study.write_text(
        MINIMAL.replace("lamp-4", "tasks/mine.yaml") + "data: {path: users}\nmodel: {base: models/llama}\n"
    )
    config = load_study(study)
    assert config.data.path == str(tmp_path.resolve() / "users")
    assert config.task == str(tmp_path.resolve() / "tasks" / "mine.yaml")
    assert config.model.base == str(tmp_path.resolve() / "models" / "llama")
    assert load_study(study, ["data.path=d"]).data.path == str(work.resolve() / "d")
    assert load_study(study, data=Path("e")).data.path == str(work.resolve() / "e")
    assert load_study(study, ["model.base=org/model"]).model.base == "org/model"


def test_canaries_are_off_unless_asked_for(study: Path) -> None:
    assert load_study(study).audit.canaries is None
    study.write_text(MINIMAL + "audit: {canaries: {sharers: 8, types: [email, code], repetitions: [1]}}\n")
    canaries = load_study(study).audit.canaries
    assert canaries == CanariesConfig(sharers=8, types=("email", "code"), repetitions=(1,))
    everything = load_study(study, ["audit.canaries={}"]).audit.canaries
    assert everything is not None
    assert everything.types == CANARY_TYPES
    assert (everything.sharers, everything.repetitions) == (None, (1, 4, 16))
    assert (everything.per_cell, everything.candidates) == (1, 1024)


def test_bundled_studies_are_found_by_name(
    tmp_path: Path, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "STUDIES", tmp_path)
    assert bundled_studies() == ["study"]
    assert load_study("study").name == "s"
    with pytest.raises(ConfigError, match="studi: no such study file") as caught:
        load_study("studi")
    assert "did you mean 'study'?" in caught.value.hint


def test_the_nearest_key_is_offered(study: Path) -> None:
    assert fault(study, "trainig: {rank: 4}\n") == (
        "study.yaml: unknown key 'trainig.rank'; did you mean 'training.rank'?"
    )
    assert fault(study, "", "trainig.rank=4").startswith(
        "--set: unknown key 'trainig.rank'; did you mean 'training.rank'"
    )
    assert "unknown key 'rank'; did you mean 'training.rank'?" in fault(study, "rank: 3\n")
    assert "'methods[0].alhpa'; did you mean 'methods[0].alpha'?" in fault(
        study, "methods: [{kind: prime, alhpa: 1}]\n"
    )
    assert "'gate.rules[0].maximum'; did you mean" in fault(
        study, "gate: {rules: [{metric: m, max: 1, maximum: 2}]}\n"
    )
    assert "unknown key 'zzz'; valid here: schema_version, name, seed" in fault(study, "zzz: 3\n")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("seed: -1\n", "seed: should be greater than or equal to 0 (it is -1)"),
        ("training: {rank: 8.5}\n", "training.rank: should be a valid integer (it is 8.5)"),
        ("training: {rank: '8'}\n", "training.rank: should be a valid integer (it is '8')"),
        ("training: {epochs: true}\n", "training.epochs: should be a valid integer (it is true)"),
        ("training: {lr: .nan}\n", "training.lr: should be a finite number"),
        ("model: {offline: yes}\n", "model.offline: should be true or false (it is 'yes')"),
        (
            "data: {layout: percs}\n",
            "'percs' is not one of auto, users, per-pcs, lamp; did you mean 'per-pcs'?",
        ),
        ("methods: [primee]\n", "'primee' is not one of"),
        ("methods: [primee]\n", "did you mean 'prime'?"),
        ("methods: [{id: x}]\n", "methods[0]: a method is a name or a section with the key 'kind'"),
        ("methods: [3]\n", "methods[0]: should be a section with keys (it is 3)"),
        ("methods: []\n", "methods: "),
        ("methods: [rag, rag]\n", "methods: the id 'rag' is used twice"),
        ("methods: [{kind: rag, id: control-x}]\n", "methods: the id 'control-x' is kept for controls"),
        ("methods: [{kind: rag, id: a/b}]\n", "methods[0].id: 'a/b' is not a usable name"),
        ("audit: {attacks: [loss, zlb]}\n", "audit.attacks[1]: 'zlb' is not one of"),
        (
            "audit: {attacks: defualt}\n",
            "audit.attacks: 'defualt' is not one of default, all; did you mean 'default'?",
        ),
        ("audit: {attacks: [loss, loss]}\n", "audit: attack 'loss' is listed twice"),
        ("audit: {canaries: 3}\n", "audit.canaries: should be "),
        (
            "audit: {canaries: {types: [email, pin]}}\n",
            "audit.canaries.types[1]: 'pin' is not one of random-token",
        ),
        ("audit: {canaries: {types: []}}\n", "audit.canaries.types: "),
        ("audit: {canaries: {types: [code, code]}}\n", "audit.canaries: type 'code' is listed twice"),
        ("audit: {canaries: {repetitions: [4, 4]}}\n", "audit.canaries: repetition '4' is listed twice"),
        (
            "audit: {canaries: {repetitions: [0]}}\n",
            "audit.canaries.repetitions[0]: should be greater than or equal to 1 (it is 0)",
        ),
        (
            "audit: {canaries: {candidates: 1}}\n",
            "audit.canaries.candidates: should be greater than or equal to 100",
        ),
        (
            "audit: {canaries: {percell: 2}}\n",
            "unknown key 'audit.canaries.percell'; did you mean 'audit.canaries.per_cell'?",
        ),
        ("audit: {design: prime-paper, canaries: {}}\n", "audit: 'canaries' needs 'design: holdout'"),
        (
            "gate: {rules: [{metric: m}]}\n",
            "gate.rules[0]: a rule needs 'min', 'max', 'max_increase' or 'max_decrease'",
        ),
        ("gate: {rules: [{metric: m, min: 1, max: 0}]}\n", "gate.rules[0]: 'min' is above 'max'"),
        ("gate: {rules: [{max: 1}]}\n", "the key 'gate.rules[0].metric' is missing"),
        ("training: 3\n", "training: should be a section with keys (it is 3)"),
        ("data: {sharers: 2}\n", "sharers.per_target is 3, but data.sharers is 2"),
    ],
)
def test_every_wrong_value_is_named(study: Path, extra: str, message: str) -> None:
    text = fault(study, extra)
    assert text.startswith("study.yaml: ")
    assert message in text


def test_all_faults_are_listed_with_where_they_come_from(study: Path) -> None:
    lines = fault(study, "sead: 3\ntraining: {rank: x, alpha: y}\n", "run.workers=two").splitlines()
    assert lines[0] == "study.yaml: 4 faults"
    assert sorted(line.partition(":")[0] for line in lines[1:]) == [
        "--set",
        "study.yaml",
        "study.yaml",
        "study.yaml",
    ]


def test_another_schema_version_is_one_clear_sentence(study: Path) -> None:
    study.write_text(MINIMAL.replace("1", "2"))
    with pytest.raises(ConfigError, match="schema_version is 2, and this release of prime-audit reads 1"):
        load_study(study)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1\nc: 2\n", "line 3, column 2"),
        ("name: a\nname: b\n", "line 2, column 1: the key 'name' appears twice"),
        ("a: &x [1]\nb: *x\n", "line 2, column 4: aliases"),
        ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        ("1: x\n", "line 1, column 1: a key must be text"),
        ("a: \x00\n", "not usable YAML"),
        ("[" * 5000, "not usable YAML"),
        ("- a\n", "a study is a list of 'key: value' lines"),
        ("", "a study is a list of 'key: value' lines"),
    ],
)
def test_broken_yaml_is_reported_with_its_place(study: Path, text: str, message: str) -> None:
    study.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_study(study)
    assert str(caught.value).startswith(f"{study}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.rank", "--set training.rank: expected KEY=VALUE"),
        (".rank=1", "expected KEY=VALUE"),
        ("seed.x=1", "--set seed.x: there is no section above 'x'"),
        ("methods.nope.k=1", "--set methods.nope.k: the list has no entry 'nope'; it has base, own"),
        ("methods.7=rag", "the list has no entry '7'"),
        ("seed=[1", "--set seed: line 1"),
    ],
)
def test_wrong_overrides(study: Path, override: str, message: str) -> None:
    assert message in fault(study, "seed: 1\nmethods: [base, {kind: rag, id: own}]\n", override)


def test_files_that_cannot_be_read(tmp_path: Path, study: Path) -> None:
    with pytest.raises(ConfigError, match="no such study file"):
        load_study(tmp_path / "none.yaml")
    study.write_bytes(b"name: \xff")
    with pytest.raises(ConfigError, match=r"not UTF-8 \(byte 6\)"):
        load_study(study)


def test_numbers_are_what_they_look_like(study: Path) -> None:
    study.write_text(MINIMAL + "training: {lr: 2e-4, alpha: 1.}\nreport: {title: 2024-01-02}\n")
    config = load_study(study)
    assert (config.training.lr, config.training.alpha) == (2e-4, 1.0)
    assert config.report.title == "2024-01-02"


def test_nearest_prefers_the_same_key_elsewhere() -> None:
    paths = valid_paths()
    assert {"seed", "training", "training.rank", "run.workers"} <= set(paths)
    assert nearest("sharers.rank", paths) == "training.rank"
    assert nearest("model.seed", paths) == "seed"
    assert nearest("sharers.privacy.epsilonn", paths) == "sharers.privacy.epsilon"
    assert nearest("audit.permutation", paths) == "audit.permutations"
    assert nearest("qqqq", paths) == ""


def test_the_schema_names_every_key() -> None:
    schema = study_schema()
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == list(StudyConfig.model_fields)  # type: ignore[call-overload]
    assert schema["required"] == ["schema_version", "name", "task"]
    assert '"own-module"' in json.dumps(schema)


@pytest.mark.parametrize(
    ("privacy", "message"),
    [
        ("{}", "sharers.privacy: give either 'epsilon' or 'noise'"),
        ("{epsilon: 8, noise: 1}", "sharers.privacy: give either 'epsilon' or 'noise'"),
        ("{epsilon: 0}", "sharers.privacy.epsilon: should be greater than 0 (it is 0)"),
        ("{noise: 1, delta: 1}", "sharers.privacy.delta: should be less than 1 (it is 1)"),
        ("{noise: 1, unit: item}", "sharers.privacy.unit: 'item' is not one of example, user"),
        ("{nois: 1}", "unknown key 'sharers.privacy.nois'; did you mean 'sharers.privacy.noise'?"),
    ],
)
def test_wrong_privacy_settings(study: Path, privacy: str, message: str) -> None:
    assert message in fault(study, f"sharers: {{privacy: {privacy}}}\n")


def test_the_folder_of_a_methods_encoder_is_found_from_the_study_file(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        MINIMAL + "methods: [{kind: rag, retriever: dense, encoder: minilm}, "
        "{kind: in-context, retriever: dense, encoder: base}]\n"
    )
    found = [getattr(method, "encoder", None) for method in load_study(str(study)).methods]
    assert found == [str(tmp_path / "minilm"), "base"]
    moved = load_study(str(study), ["methods.rag.encoder=other"]).methods[0]
    assert getattr(moved, "encoder", None) == str(Path.cwd() / "other")
