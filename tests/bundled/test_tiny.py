"""The bundled weights load offline and know the world they were trained on."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

from prime_audit.bundled import TINY
from prime_audit.bundled.train_tiny import Recipe, documents, main, train, train_tokenizer
from prime_audit.core.seeds import Seeds
from prime_audit.data import TASKS
from prime_audit.data.world import make_public


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(TINY, local_files_only=True)


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(TINY, local_files_only=True)


def test_the_folder_is_complete_and_small() -> None:
    names = {path.name for path in TINY.iterdir()}
    assert names == {
        "CARD.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(path.stat().st_size for path in TINY.iterdir()) < 6_000_000


def test_the_card_states_what_a_reader_must_know(model: LlamaForCausalLM) -> None:
    card = (TINY / "CARD.md").read_text(encoding="utf-8")
    assert f"{model.num_parameters():,}" in card
    for phrase in ("license: apache-2.0", "nats per token", "What it is not", "train_tiny"):
        assert phrase in card


def test_special_tokens_are_distinct_and_agree(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase
) -> None:
    special = [tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id]
    assert len(set(special)) == 3
    config = model.config
    assert [config.pad_token_id, config.bos_token_id, config.eos_token_id] == special
    assert json.loads((TINY / "generation_config.json").read_text())["eos_token_id"] == special[2]


def test_any_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "Grüße, 世界! x@example.org  two  spaces\n"
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


@torch.no_grad()
def test_a_headline_names_what_the_text_tells(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase
) -> None:
    task = TASKS["lamp-4"]
    items = [user.history[0] for user in make_public(20, Seeds(3), records=1)]
    named = 0
    for item in items:
        prompt = tokenizer.encode(task.prompt(item.input), add_special_tokens=False)
        ids = torch.tensor([[tokenizer.bos_token_id, *prompt]])
        out = model.generate(inputs=ids, attention_mask=torch.ones_like(ids), max_new_tokens=24)  # type: ignore[misc]
        headline = str(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
        told = {word.strip('.,"') for word in item.input.split()}
        named += len(told & {word.strip(".,:") for word in headline.split()}) >= 2
    assert named >= 14


def test_documents_come_in_the_prompt_of_the_task_and_in_plain_layouts() -> None:
    texts = list(documents(40, Seeds(1)))
    ending = TASKS["lamp-4"].prompt("").rsplit("\n", 1)[-1]
    assert 5 < sum(ending in text for text in texts) < 35
    assert texts == list(documents(40, Seeds(1)))


def test_one_seed_gives_one_model() -> None:
    recipe = Recipe(steps=3, batch=4, vocabulary=400, hidden=16, layers=1, heads=2, mlp=16)
    tokenizer = train_tokenizer(documents(50, Seeds(1)), recipe.vocabulary, recipe.context)
    state = torch.random.get_rng_state()
    (first, tokens), (second, _), (other, _) = (train(recipe, tokenizer, Seeds(seed)) for seed in (1, 1, 2))
    assert tokens > 3 * 4 * 20
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name])
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)


@pytest.mark.long
def test_the_script_writes_a_model_and_its_card(tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path), "--steps", "20", "--threads", "1"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in TINY.iterdir()}
    assert "20 steps of" in (tmp_path / "CARD.md").read_text(encoding="utf-8")


def test_the_tokenizer_trainer_keeps_to_its_size() -> None:
    trained = train_tokenizer(documents(50, Seeds(1)), 400, Recipe().context)
    assert len(trained) == 400
    assert trained.convert_tokens_to_ids(["<pad>", "<s>", "</s>"]) == [0, 1, 2]
