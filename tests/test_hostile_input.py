"""Input that wants to do harm: it is refused with an error that a user can read, and nothing of it is run."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from prime_audit.config import load_study
from prime_audit.core import check_id, parse_json, read_lines
from prime_audit.data import load_task
from prime_audit.data.records import Faults
from prime_audit.data.users_jsonl import read_users_jsonl
from prime_audit.errors import ConfigError, DataError, ModelError
from prime_audit.modules import read_module
from tests.support import user, write_users

IDS = [
    *("", ".", "..", "../up", "../../etc/passwd", "a/../../b", "a/b", "a\\b", "/etc/passwd", "C:\\x", "~"),
    *("con", "CON", "nul.txt", "COM1", "lpt9.log", "aux", "PRN", "a.", "a ", " a", ".hidden", "-rf", "--out"),
    *("a\0b", "a\nb", "a\rb", "a\tb", "x" * 65, "x" * 300, "é", "e\u0301", "a\u202eb", "\u200b", "a*", "a?"),
    *("a:b", "a|b", "$(id)", "`id`", "\x1b[2J", "{{7*7}}"),
]
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG))
    rng = np.random.default_rng(0)
    prefix = "base_model.model.model.layers.0.self_attn.q_proj"
    a, b = rng.normal(size=(2, 8)).astype("f4"), rng.normal(size=(8, 2)).astype("f4")
    save_file({f"{prefix}.lora_A.weight": a, f"{prefix}.lora_B.weight": b}, folder / WEIGHTS)
    return folder


WEIGHTS = "adapter_model.safetensors"


@pytest.mark.parametrize("name", IDS, ids=range(len(IDS)))
def test_an_id_that_is_no_name_of_a_file_is_refused(name: str, tmp_path: Path) -> None:
    assert len(IDS) >= 40
    with pytest.raises(DataError):
        check_id(name, "user")
    faults = Faults()
    users = read_users_jsonl(write_users(tmp_path, user(name)), load_task("lamp-4"), faults)
    assert users == ()
    assert faults.lines
    assert [path.name for path in tmp_path.iterdir()] == ["users.jsonl"]


def test_users_that_differ_in_case_alone_are_one_folder_on_some_systems(tmp_path: Path) -> None:
    faults = Faults()
    read_users_jsonl(write_users(tmp_path, user("Ann"), user("ann")), load_task("lamp-4"), faults)
    assert any("user id 'ann' is used before" in line for line in faults.lines)


def mutated(raw: bytes, rng: np.random.Generator) -> bytes:
    """A safetensors file with its header's length, its header, or some bytes changed, or cut, or longer."""
    kind = rng.integers(6)
    if kind == 0:
        return raw[: rng.integers(len(raw))]
    if kind == 1:
        sizes = [0, 1, 2**31, 2**63, len(raw), 10**9]
        return sizes[rng.integers(len(sizes))].to_bytes(8, "little") + raw[8:]
    if kind == 2:
        return raw + rng.bytes(int(rng.integers(1, 64)))
    if kind == 3:
        end = 8 + int.from_bytes(raw[:8], "little")
        old = [b"F32", b"[2,8]", b"[8,2]", b"data_offsets", b"lora_A", b"lora_B", b"q_proj", b"64", b"128"]
        new = [b"F64", b"BF16", b"[-2,8]", b"[2,99999999]", b"[]", b"null", b"0", b"lora_C", b"NaN", b"\xff"]
        header = raw[8:end].replace(old[rng.integers(len(old))], new[rng.integers(len(new))])
        return len(header).to_bytes(8, "little") + header + raw[end:]
    changed = bytearray(raw)
    for _ in range(int(rng.integers(1, 8))):
        changed[rng.integers(len(raw))] = rng.integers(256)
    return bytes(changed)


def survive(adapter: Path, count: int, seed: int) -> int:
    rng, raw, refused = np.random.default_rng(seed), (adapter / WEIGHTS).read_bytes(), 0
    for _ in range(count):
        (adapter / WEIGHTS).write_bytes(mutated(raw, rng))
        try:
            module = read_module(adapter)
        except (ModelError, DataError):
            refused += 1
        else:
            assert all(bool(t.isfinite().all()) for pair in module.factors.values() for t in pair)
    return refused


def test_mutated_modules_are_refused_or_usable(adapter: Path) -> None:
    assert 50 <= survive(adapter, 100, 0) < 100


@pytest.mark.long
def test_many_mutated_modules_are_refused_or_usable(adapter: Path) -> None:
    assert survive(adapter, 500, 1) >= 250


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_module_that_is_not_finite_is_refused(adapter: Path, value: float) -> None:
    prefix = "base_model.model.model.layers.0.self_attn.q_proj"
    a, b = np.full((2, 8), value, dtype="f4"), np.ones((8, 2), dtype="f4")
    save_file({f"{prefix}.lora_A.weight": a, f"{prefix}.lora_B.weight": b}, adapter / WEIGHTS)
    with pytest.raises(ModelError, match="NaN or infinity"):
        read_module(adapter)


def test_a_pickle_is_not_loaded_in_any_disguise(adapter: Path, tmp_path: Path) -> None:
    mark = tmp_path / "payload"
    zipped = io.BytesIO()
    torch.save({"weight": Bomb(mark)}, zipped)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../escaped", "x")
        file.writestr("data.pkl", pickle.dumps(Bomb(mark)))
    good = (adapter / WEIGHTS).read_bytes()
    for disguise in (pickle.dumps(Bomb(mark)), zipped.getvalue(), archive.getvalue()):
        # Under the name of a safe file, alone under its own, and beside a good file.
        (adapter / WEIGHTS).write_bytes(disguise)
        with pytest.raises(ModelError, match="cannot be read"):
            read_module(adapter)
        (adapter / WEIGHTS).unlink()
        (adapter / "adapter_model.bin").write_bytes(disguise)
        with pytest.raises(ModelError, match="a pickle can run code"):
            read_module(adapter)
        (adapter / WEIGHTS).write_bytes(good)
        assert read_module(adapter).rank == 2
        (adapter / "adapter_model.bin").unlink()
    assert not mark.exists()
    assert not (tmp_path.parent / "escaped").exists()


@pytest.mark.parametrize(
    "key", ["auto_map", "custom_code", "quantization_config", "\x1b[2Jx", "lora_dtype_override"]
)
def test_a_key_that_the_loader_does_not_know_is_refused(adapter: Path, key: str) -> None:
    (adapter / "adapter_config.json").write_text(json.dumps({**CONFIG, key: {"x": "evil.Model"}}))
    with pytest.raises(ModelError, match="which a weighted sum of modules cannot hold") as caught:
        read_module(adapter)
    assert "\x1b" not in str(caught.value)
    (adapter / "adapter_config.json").write_text(json.dumps({**CONFIG, key: None}))
    assert read_module(adapter).rank == 2


def test_a_base_model_that_is_named_elsewhere_is_not_followed(adapter: Path) -> None:
    for name in ("https://example.org/model", "../../../etc", "someone/else"):
        (adapter / "adapter_config.json").write_text(json.dumps({**CONFIG, "base_model_name_or_path": name}))
        assert read_module(adapter).rank == 2


# The first would keep a regular expression busy for ages; the others are no names of layers either.
PATTERNS = [
    *("(.*.*)*x!", "(a|a)*$", ".*q_proj", "[qk]_proj", "q_proj|k_proj", "q{2}", "layers.\\d.q"),
    *("q_proj$", "(?i)q"),
    *("^^q", "q\\", "", "x" * 501, "\x1b[2J\nq_proj"),
]


@pytest.mark.parametrize("key", ["rank_pattern", "alpha_pattern"])
@pytest.mark.parametrize("pattern", PATTERNS, ids=range(len(PATTERNS)))
def test_a_pattern_of_layers_is_a_name_and_no_program(adapter: Path, key: str, pattern: str) -> None:
    (adapter / "adapter_config.json").write_text(json.dumps({**CONFIG, key: {pattern: 2}}))
    with pytest.raises(ModelError, match=f"no usable {key}: .* is no plain name of a layer") as caught:
        read_module(adapter)
    assert f"module {adapter}: " in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(adapter)) + 200
    assert f"rewrite {key} with plain names" in caught.value.hint


def test_more_patterns_than_a_model_has_layers_are_refused(adapter: Path) -> None:
    many = {f"q{number}": 2 for number in range(10_001)}
    (adapter / "adapter_config.json").write_text(json.dumps({**CONFIG, "rank_pattern": many}))
    with pytest.raises(ModelError, match="10001 entries are too many"):
        read_module(adapter)
    many.popitem()
    (adapter / "adapter_config.json").write_text(json.dumps({**CONFIG, "rank_pattern": many}))
    assert read_module(adapter).rank == 2


@pytest.mark.parametrize("name", ["adapter_config.json", WEIGHTS])
def test_a_link_out_of_the_folder_is_refused(adapter: Path, tmp_path: Path, name: str) -> None:
    (adapter / name).rename(tmp_path / name)
    (adapter / name).symlink_to(tmp_path / name)
    with pytest.raises(ModelError, match="a link that leads out of the folder"):
        read_module(adapter)


def test_a_link_inside_the_hubs_cache_is_followed(adapter: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--x" / "blobs", tmp_path / "models--x" / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, name in enumerate(("adapter_config.json", WEIGHTS)):
        (adapter / name).rename(blobs / str(number))
        (snapshot / name).symlink_to(Path("../../blobs") / str(number))
    assert read_module(snapshot).rank == 2


def test_a_configuration_of_megabytes_is_not_parsed(adapter: Path) -> None:
    (adapter / "adapter_config.json").write_text(json.dumps({**CONFIG, "revision": "x" * (1 << 20)}))
    with pytest.raises(ModelError, match="larger than a configuration can be"):
        read_module(adapter)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "a: " + "[" * 5000 + "]" * 5000,
        "!!python/object/apply:os.system ['touch payload']",
        "a: !!python/name:os.system",
        "<<: *a",
    ],
)
def test_a_yaml_bomb_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ConfigError):
        load_study(tmp_path / "study.yaml")
    assert not (tmp_path / "payload").exists()


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "1" * 100_000])
def test_deep_json_and_endless_numbers_are_refused(text: str) -> None:
    with pytest.raises(DataError):
        parse_json(text, "users.jsonl")


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "users.jsonl"
    with path.open("wb") as file:
        file.write(b'{"user": "a"}\n')
        file.truncate(2 * 10**9)  # a hole: two gigabytes that take no room
    lines = read_lines(path, longest=1 << 16)
    assert next(lines) == '{"user": "a"}'
    with pytest.raises(DataError, match="line 2 is longer than 65536 bytes"):
        next(lines)


def test_lines_are_read_as_the_whole_text_is(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("\ufeffé\u2028a\r\n\nb".encode())
    assert list(read_lines(path)) == path.read_bytes().decode("utf-8-sig").split("\n")
    path.write_bytes(b"ok\n\xff\n")
    with pytest.raises(DataError, match=r"not UTF-8 \(byte 3\)"):
        list(read_lines(path))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_lines(tmp_path / "nowhere"))
