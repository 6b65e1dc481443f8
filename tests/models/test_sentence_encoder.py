import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import BertModel, RobertaConfig, RobertaModel

from prime_audit.errors import DataError, ModelError
from prime_audit.models import SentenceEncoder, load_sentence_encoder, read_sentence_folder
from prime_audit.models.sentence_encoder import pool
from tests.sentence_folder import tokenizer, write, write_sentence_folder

TEXTS = ["a plain story", "the new headline of the story for a story", "x"]


def load(folder: Path) -> SentenceEncoder:
    return load_sentence_encoder(read_sentence_folder(folder), torch.device("cpu"))


def states_of(folder: Path, text: str, limit: int = 32) -> NDArray[np.float64]:
    """The last hidden states of one text, without any padding."""
    model: Any = BertModel.from_pretrained(folder)
    model.eval()
    ids = tokenizer()(text, truncation=True, max_length=limit, return_tensors="pt")
    with torch.no_grad():
        states: NDArray[np.float64] = model(**ids)[0][0].double().numpy()
    return states


def by_hand(states: NDArray[np.float64], mode: str) -> NDArray[np.float64]:
    found: dict[str, NDArray[np.float64]] = {
        "cls": states[0],
        "max": states.max(axis=0),
        "mean": states.sum(axis=0) / len(states),
        "mean_sqrt_len_tokens": states.sum(axis=0) / np.sqrt(len(states)),
    }
    return found[mode]


FLAGS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
}


def test_pooling_modes_on_numbers() -> None:
    states = torch.tensor([[[1.0, 6.0], [3.0, 2.0], [torch.nan, 99.0]]])
    mask = torch.tensor([[True, True, False]])
    modes = ("cls", "max", "mean", "mean_sqrt_len_tokens")
    expected = [1, 6, 3, 6, 2, 4, 4 / np.sqrt(2), 8 / np.sqrt(2)]
    np.testing.assert_allclose(pool(states, mask, modes)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("mode", FLAGS)
@pytest.mark.parametrize("written", ["flags", "name"])
def test_a_folder_gives_its_pooled_states(mode: str, written: str, tmp_path: Path) -> None:
    flags = {flag: name == mode for name, flag in FLAGS.items()}
    pooling: dict[str, object] = {**flags} if written == "flags" else {"pooling_mode": mode}
    folder = write_sentence_folder(tmp_path, pooling=pooling)
    embedded = load(folder).embed(TEXTS)
    for row, text in zip(embedded, TEXTS, strict=True):
        np.testing.assert_allclose(row, by_hand(states_of(folder, text), mode), atol=1e-5)


def test_several_modes_stand_side_by_side(tmp_path: Path) -> None:
    both = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    folder = write_sentence_folder(tmp_path, pooling=both)
    states = states_of(folder, TEXTS[0])
    (row,) = load(folder).embed(TEXTS[:1])
    np.testing.assert_allclose(row, [*by_hand(states, "cls"), *by_hand(states, "mean")], atol=1e-5)


def test_the_mean_is_the_default_pooling(tmp_path: Path) -> None:
    folder = write_sentence_folder(tmp_path, pooling={"word_embedding_dimension": 16})
    assert read_sentence_folder(folder).pooling == ("mean",)


def test_normalised_vectors_have_length_one(tmp_path: Path) -> None:
    folder = write_sentence_folder(tmp_path, modules=("Transformer", "Pooling", "Normalize"))
    embedded = load(folder).embed(TEXTS)
    mean = by_hand(states_of(folder, TEXTS[1]), "mean")
    np.testing.assert_allclose(embedded[1], mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1)


def test_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    encoder = load(write_sentence_folder(tmp_path))
    np.testing.assert_allclose(encoder.embed(TEXTS), encoder.embed(TEXTS, batch_tokens=1), atol=1e-5)
    assert encoder.embed([]).shape == (0, 16)
    assert np.isfinite(encoder.embed([""])).all()


@pytest.mark.parametrize(("settings", "limit"), [({"max_seq_length": 5}, 5), ({"max_seq_length": None}, 64)])
def test_long_texts_are_cut(settings: dict[str, object], limit: int, tmp_path: Path) -> None:
    folder = write_sentence_folder(tmp_path, settings=settings)
    text = "story " * 100
    (row,) = load(folder).embed([text])
    np.testing.assert_allclose(row, by_hand(states_of(folder, text, limit), "mean"), atol=1e-5)


def test_positions_that_are_kept_for_padding_are_not_used(tmp_path: Path) -> None:
    folder = write_sentence_folder(tmp_path, settings={"max_seq_length": None})
    config = RobertaConfig(
        vocab_size=len(tokenizer()),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=22,
        pad_token_id=0,
    )
    model: Any = RobertaModel(config)
    model.save_pretrained(folder)
    encoder = load(folder)
    # RoBERTa counts positions from its padding id + 1.
    assert encoder.max_tokens == 21
    assert np.isfinite(encoder.embed(["story " * 100, "story"])).all()


def test_lower_case_is_followed(tmp_path: Path) -> None:
    plain = load(write_sentence_folder(tmp_path / "plain"))
    lower = load(write_sentence_folder(tmp_path / "lower", settings={"do_lower_case": True}))
    assert not np.allclose(plain.embed(["A story"]), plain.embed(["a story"]))
    np.testing.assert_allclose(lower.embed(["A story"]), plain.embed(["a story"]))


def test_a_default_prompt_stands_in_front(tmp_path: Path) -> None:
    prompts = {"prompts": {"p": "the ", "q": "new "}, "default_prompt_name": "p"}
    prompted = load(write_sentence_folder(tmp_path / "prompted", general=prompts))
    plain = load(write_sentence_folder(tmp_path / "plain", general={**prompts, "default_prompt_name": None}))
    np.testing.assert_allclose(prompted.embed(["story"]), plain.embed(["the story"]))
    assert not np.allclose(prompted.embed(["story"]), plain.embed(["story"]))
    write(tmp_path / "prompted" / "1_Pooling" / "config.json", {"include_prompt": False})
    with pytest.raises(ModelError, match="include_prompt"):
        read_sentence_folder(tmp_path / "prompted")


def test_the_layout_of_version_6_is_read(tmp_path: Path) -> None:
    long = "sentence_transformers.base.modules.transformer.Transformer"
    folder = write_sentence_folder(tmp_path, settings={"transformer_task": "feature-extraction"})
    kinds = [long, "sentence_transformers.sentence_transformer.modules.pooling.Pooling"]
    paths = ["0_Transformer", "1_Pooling"]
    write(folder / "modules.json", [{"path": p, "type": k} for p, k in zip(paths, kinds, strict=True)])
    (folder / "0_Transformer").mkdir()
    for file in [f for f in folder.iterdir() if f.is_file() and f.name != "modules.json"]:
        shutil.move(file, folder / "0_Transformer" / file.name)
    assert load(folder).embed(TEXTS).shape == (3, 16)


def test_the_digest_follows_what_is_read(tmp_path: Path) -> None:
    one = read_sentence_folder(write_sentence_folder(tmp_path / "one")).digest
    assert read_sentence_folder(write_sentence_folder(tmp_path / "two")).digest == one
    (tmp_path / "two" / "README.md").write_text("words")
    assert read_sentence_folder(tmp_path / "two").digest == one
    other = write_sentence_folder(tmp_path / "three", pooling={"pooling_mode": "cls"})
    assert read_sentence_folder(other).digest != one
    assert read_sentence_folder(write_sentence_folder(tmp_path / "four", seed=1)).digest != one


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    no_weights(folder)
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")


def dense(folder: Path) -> None:
    write_sentence_folder(folder, modules=("Transformer", "Pooling", "Dense"))


def own_code(folder: Path) -> None:
    write_sentence_folder(folder, modules=("Transformer", "custom_code.Pooling"))


def outside(folder: Path) -> None:
    types = [f"sentence_transformers.models.{kind}" for kind in ("Transformer", "Pooling")]
    write(
        folder / "modules.json", [{"path": p, "type": k} for p, k in zip(("", "../.."), types, strict=True)]
    )


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (no_weights, ModelError, "no model.safetensors"),
        (pickled, ModelError, r"pickled \(pytorch_model.bin\)"),
        (dense, ModelError, r"sentence_transformers\.models\.Dense"),
        (own_code, ModelError, r"custom_code\.Pooling"),
        (outside, DataError, "leads out of the folder"),
        (lambda f: write(f / "modules.json", {}), ModelError, "lists nothing"),
        (lambda f: (f / "modules.json").unlink(), ModelError, "it has no modules.json"),
        (lambda f: shutil.rmtree(f), ModelError, "no such folder"),
        (lambda f: write(f / "1_Pooling" / "config.json", []), ModelError, "no JSON object"),
        (lambda f: (f / "1_Pooling" / "config.json").unlink(), DataError, "cannot be read"),
        (
            lambda f: write(f / "1_Pooling" / "config.json", {"pooling_mode_lasttoken": True}),
            ModelError,
            "its pooling is lasttoken",
        ),
        (
            lambda f: write(f / "sentence_bert_config.json", {"transformer_task": "fill-mask"}),
            ModelError,
            "asks for fill-mask",
        ),
    ],
)
def test_a_folder_that_cannot_be_read(
    damage: Callable[[Path], object], error: type[Exception], message: str, tmp_path: Path
) -> None:
    folder = write_sentence_folder(tmp_path / "encoder")
    damage(folder)
    with pytest.raises(error, match=message):
        read_sentence_folder(folder)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_sentence_folder(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    whole = {name: t for name, t in tensors.items() if not name.startswith("pooler")}
    save_file(whole, folder / "model.safetensors")
    assert load(folder).embed(["a"]).shape == (1, 16)
    lacking = {name: t for name, t in whole.items() if "layer.1.output.dense" not in name}
    save_file(lacking, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"2 weights are missing, such as encoder\.layer\.1"):
        load(folder)
