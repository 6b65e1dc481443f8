"""A sentence-transformers folder around a tiny random BERT, made on the fly."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

WORDS = ("a", "story", "plain", "headline", "new", "of", "for", "the", "A")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def tokenizer() -> PreTrainedTokenizerFast:
    """Words and single characters; lower case and upper case are different words."""
    symbols = [*SPECIAL, *WORDS, *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789-")]
    symbols += list("bcdefghijklmnopqrstuvwxyz0123456789")
    backend = Tokenizer(models.WordPiece(vocab={s: i for i, s in enumerate(symbols)}, unk_token=SPECIAL[1]))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast: Any = PreTrainedTokenizerFast
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    made: PreTrainedTokenizerFast = fast(tokenizer_object=backend, model_max_length=64, **named)
    return made


def write_sentence_folder(
    folder: Path,
    *,
    pooling: Mapping[str, object] | None = None,
    modules: Sequence[str] = ("Transformer", "Pooling"),
    settings: Mapping[str, object] | None = None,
    general: Mapping[str, object] | None = None,
    seed: int = 0,
) -> Path:
    """Write the folder; the keywords are the contents of its configuration files."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(tokenizer()),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            initializer_range=0.5,
        )
        model: Any = BertModel(config)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    listed = [
        {
            "idx": i,
            "name": str(i),
            "path": "" if i == 0 else f"{i}_{kind}",
            "type": kind if "." in kind else f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(modules)
    ]
    write(folder / "modules.json", listed)
    write(folder / "1_Pooling" / "config.json", pooling or {"pooling_mode_mean_tokens": True})
    write(folder / "sentence_bert_config.json", settings or {"max_seq_length": 32, "do_lower_case": False})
    if general is not None:
        write(folder / "config_sentence_transformers.json", general)
    return folder


def write(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
