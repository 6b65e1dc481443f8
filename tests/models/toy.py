"""A random two-layer Llama and a byte tokenizer whose padding is its EOS."""

from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from prime_audit.models import LanguageModel


def toy_tokenizer() -> PreTrainedTokenizerFast:
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    # EOS is token 0, the id that careless masks take for padding.
    vocabulary = {symbol: number for number, symbol in enumerate(["</s>", "<s>", *symbols])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("</s>", special=True), AddedToken("<s>", special=True)])
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    fast: Any = PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = fast(tokenizer_object=backend, **special)
    return tokenizer


def toy_model(seed: int = 0, **changes: int) -> LlamaForCausalLM:
    settings: dict[str, Any] = {
        "vocab_size": 258,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
        "bos_token_id": 1,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**(settings | changes)))


def toy_language_model(seed: int = 0, max_tokens: int = 256, **changes: int) -> LanguageModel:
    model: Any = toy_model(seed, **changes)
    model.eval().requires_grad_(False)
    return LanguageModel(model, toy_tokenizer(), torch.device("cpu"), f"toy-{seed}", "toy", max_tokens)
