"""Embeddings of texts by a sentence-transformers folder, read with transformers alone. Safetensors only.

Source: the folder layout of the sentence-transformers library (Reimers & Gurevych, EMNLP 2019), as versions
2 to 6 write it: ``modules.json`` names a transformer, a pooling and perhaps a normalisation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from prime_audit.core import digest_file, digest_json, inside, printable, ran_out_of_memory, read_json
from prime_audit.errors import ModelError
from prime_audit.models.forward import plan_batches
from prime_audit.models.loading import quiet

_CHAINS: Final = (("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize"))
# How folders before version 6 spell a mode, in the order in which several are joined.
_FLAGS: Final = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_MODES: Final = ("cls", "max", "mean", "mean_sqrt_len_tokens")
_READ: Final = (".json", ".safetensors", ".txt", ".model")
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class SentenceFolder:
    """What a sentence-transformers folder says about itself; no weight has been read yet.

    Attributes:
        name: The folder as it was asked for.
        transformer: The folder of the transformer's weights and tokenizer.
        pooling: One or more of ``cls``, ``max``, ``mean``, ``mean_sqrt_len_tokens``; several are joined.
        normalise: Whether the pooled vector is scaled to length one.
        max_tokens: Longest input in tokens, special ones included; None leaves it to the model.
        lower: Whether texts are lower-cased first.
        prompt: What is put in front of every text.
        digest: Digest of every file that is read.
    """

    name: str
    transformer: Path
    pooling: tuple[str, ...]
    normalise: bool
    max_tokens: int | None
    lower: bool
    prompt: str
    digest: str


@dataclass(frozen=True)
class SentenceEncoder:
    """A loaded sentence encoder, float32, in eval mode.

    Attributes:
        folder: What its folder says.
        model: The transformer.
        tokenizer: Its tokenizer.
        max_tokens: Longest input in tokens, special ones included.
    """

    folder: SentenceFolder
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_tokens: int

    @torch.no_grad()
    def embed(self, texts: Sequence[str], batch_tokens: int = 4096) -> NDArray[np.float64]:
        """Embeds texts.

        Args:
            texts: Any texts; what exceeds the longest input is cut at the end.
            batch_tokens: Most tokens in a batch, padding included.

        Returns:
            Shape ``(texts, d)``, d being the hidden size times the number of pooling modes. A text for
            which the tokenizer gives no token at all is zero.
        """
        rows = self._tokens(texts)
        some = [place for place, row in enumerate(rows) if row]
        vectors = np.zeros((len(rows), self.model.config.hidden_size * len(self.folder.pooling)))
        for batch in plan_batches([len(rows[place]) for place in some], batch_tokens):
            places = [some[i] for i in batch]
            ids, mask = self._padded([rows[place] for place in places])
            states = self.model(input_ids=ids, attention_mask=mask.long())[0].double()
            vectors[places] = pool(states, mask, self.folder.pooling).cpu().numpy()
        if self.folder.normalise:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors /= np.where(lengths > 0, lengths, 1.0)
        return vectors

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        prompted = [self.folder.prompt + text for text in texts]
        ids: list[list[int]] = self.tokenizer(
            [text.lower() for text in prompted] if self.folder.lower else prompted,
            truncation=True,
            max_length=self.max_tokens,
            return_attention_mask=False,
            verbose=False,
        )["input_ids"]
        return ids

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        blank = self.tokenizer.pad_token_id
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), blank if isinstance(blank, int) else 0)
        mask = torch.zeros((len(rows), width), dtype=torch.bool)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = True
        return ids.to(self.model.device), mask.to(self.model.device)


def pool(states: torch.Tensor, mask: torch.Tensor, modes: Sequence[str]) -> torch.Tensor:
    """Makes one vector of a text's token states.

    Args:
        states: Last hidden states ``(texts, tokens, d)``, padded on the right.
        mask: Boolean ``(texts, tokens)``, at least one True per row.
        modes: ``cls`` is the first token's state, ``max`` the largest value per dimension, ``mean`` the
            average, ``mean_sqrt_len_tokens`` the sum over the square root of the number of tokens.

    Returns:
        ``(texts, d * modes)``, the modes side by side.
    """
    # Padded states are replaced and not multiplied by zero: they may hold anything.
    total = states.masked_fill(~mask[:, :, None], 0.0).sum(dim=1)
    counts = mask.sum(dim=1, keepdim=True)
    pooled = {
        "cls": lambda: states[:, 0],
        "max": lambda: states.masked_fill(~mask[:, :, None], -torch.inf).amax(dim=1),
        "mean": lambda: total / counts,
        "mean_sqrt_len_tokens": lambda: total / counts.sqrt(),
    }
    return torch.cat([pooled[mode]() for mode in modes], dim=1)


def read_sentence_folder(path: Path) -> SentenceFolder:
    """Reads and checks a folder's configuration; weights are digested, not loaded.

    Args:
        path: A folder as the sentence-transformers library saves it.

    Returns:
        What is needed to load it.

    Raises:
        ModelError: There is no such folder; it holds a module, a pooling or a task that is not known here
            (each is named); or its weights are pickled or missing.
        DataError: A configuration is no valid JSON, or leads out of the folder.
    """
    if not (path / "modules.json").is_file():
        what = "it has no modules.json" if path.is_dir() else "no such folder"
        raise ModelError(
            f"embedder {path}: {what}",
            hint="sharers.embedder is base, tfidf, or the folder of a sentence-transformers model",
        )
    name, path = str(path), path.resolve()
    parts = _modules(path)
    transformer = inside(path, Path(parts["Transformer"]))
    pooling = inside(path, Path(parts["Pooling"]))
    _check_weights(path, transformer)
    settings = _transformer_settings(path, transformer)
    pooled = _object(pooling / "config.json")
    longest = settings.get("max_seq_length")
    return SentenceFolder(
        name=name,
        transformer=transformer,
        pooling=_pooling(path, pooled),
        normalise="Normalize" in parts,
        max_tokens=longest if isinstance(longest, int) and longest > 0 else None,
        lower=bool(settings.get("do_lower_case")),
        prompt=_prompt(path, pooled),
        digest=_digest(path, transformer, pooling),
    )


def load_sentence_encoder(folder: SentenceFolder, device: torch.device) -> SentenceEncoder:
    """Loads a sentence encoder; no code of the folder is run and nothing is fetched.

    Args:
        folder: From `read_sentence_folder`.
        device: Where it runs.

    Returns:
        The encoder, in float32.

    Raises:
        ModelError: The transformer cannot be loaded, is incomplete, or is an encoder-decoder.
    """
    auto: Any = AutoModel
    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder.transformer, **safe)
            model, report = auto.from_pretrained(
                folder.transformer,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                **safe,
            )
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        # Readers of many formats sit below this call and raise what they like; the cause stays chained.
        first = printable(f"{type(error).__name__}: {error}".splitlines()[0])
        raise ModelError(
            f"embedder {folder.name}: cannot be loaded: {first}",
            hint="it must be a complete encoder known to transformers, with its tokenizer",
        ) from error
    # BERT's own pooler is never used, and many folders come without it.
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing or model.config.is_encoder_decoder:
        what = f"{len(missing)} weights are missing, such as {missing[0]}" if missing else "it has a decoder"
        raise ModelError(f"embedder {folder.name}: {what}", hint="name the complete folder of an encoder")
    model = model.to(device).eval().requires_grad_(False)
    return SentenceEncoder(folder, model, tokenizer, _longest(folder, model, tokenizer))


def _modules(path: Path) -> dict[str, str]:
    """Returns the subfolder of each module by the last part of its type."""
    listed = read_json(path / "modules.json")
    entries = listed if isinstance(listed, list) else []
    types = [str(entry.get("type")) if isinstance(entry, dict) else "?" for entry in entries]
    kinds = tuple(kind.rpartition(".")[2] for kind in types)
    if kinds in _CHAINS and all(kind.startswith("sentence_transformers.") for kind in types):
        return {kind: str(entry.get("path", "")) for kind, entry in zip(kinds, entries, strict=True)}
    raise ModelError(
        f"embedder {path}: modules.json lists {printable(', '.join(types)) or 'nothing'}",
        hint="only a transformer, a pooling and a normalisation, in this order, can be read",
    )


def _check_weights(path: Path, transformer: Path) -> None:
    if any((transformer / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        return
    there = sorted(transformer.iterdir()) if transformer.is_dir() else []
    pickles = [file.name for file in there if file.suffix in _PICKLES]
    if pickles:
        raise ModelError(
            f"embedder {path}: its weights are pickled ({', '.join(pickles[:3])}), and a pickle can run code",
            hint="convert it where you trust it: SentenceTransformer(folder).save(new_folder)",
        )
    raise ModelError(f"embedder {path}: there is no model.safetensors", hint="save the model as safetensors")


def _transformer_settings(path: Path, transformer: Path) -> Mapping[str, Any]:
    """Reads ``sentence_bert_config.json`` (or ``_roberta_`` and so on), if there is one."""
    found = sorted(transformer.glob("sentence_*_config.json"))
    settings = _object(found[0]) if found else {}
    modality = settings.get("modality_config") or {"text": {}}
    text = modality.get("text") if isinstance(modality, dict) else None
    output = text.get("method_output_name", "last_hidden_state") if isinstance(text, dict) else "no text"
    task = settings.get("transformer_task", "feature-extraction")
    if task != "feature-extraction" or output != "last_hidden_state":
        raise ModelError(
            f"embedder {path}: {found[0].name} asks for {printable(str(task))} from {printable(str(output))}",
            hint="only an encoder of text that gives its last hidden states can be read",
        )
    return settings


def _pooling(path: Path, settings: Mapping[str, Any]) -> tuple[str, ...]:
    named = settings.get("pooling_mode")
    if named is None:
        named = [mode for flag, mode in _FLAGS.items() if settings.get(flag)] or ["mean"]
    modes = tuple(map(str, named)) if isinstance(named, list) else (str(named),)
    unknown = [printable(mode) for mode in modes if mode not in _MODES]
    if unknown or not modes:
        raise ModelError(
            f"embedder {path}: its pooling is {', '.join(unknown) or 'empty'}",
            hint=f"known are {', '.join(_MODES)}",
        )
    return modes


def _prompt(path: Path, pooling: Mapping[str, Any]) -> str:
    """Returns the prompt that the folder names as its default; most folders have none."""
    general = path / "config_sentence_transformers.json"
    settings = _object(general) if general.is_file() else {}
    prompts = settings.get("prompts")
    name = settings.get("default_prompt_name")
    prompt = prompts.get(name) if isinstance(prompts, dict) and name is not None else None
    if prompt and not pooling.get("include_prompt", True):
        raise ModelError(
            f"embedder {path}: it has a default prompt and leaves it out of the pooling (include_prompt)",
            hint="set include_prompt to true in the pooling's config.json, or take away default_prompt_name",
        )
    return str(prompt or "")


def _object(path: Path) -> Mapping[str, Any]:
    read = read_json(path)
    if not isinstance(read, dict):
        raise ModelError(f"{path}: this is no JSON object", hint="save the embedder again")
    return read


def _digest(*folders: Path) -> str:
    root = folders[0]
    files = {file for folder in folders for file in folder.iterdir() if file.suffix in _READ}
    return digest_json(
        [[file.relative_to(root).as_posix(), digest_file(file)] for file in sorted(files) if file.is_file()]
    )


def _longest(folder: SentenceFolder, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """The longest input that folder, tokenizer and position embeddings all allow."""
    limits = [folder.max_tokens or tokenizer.model_max_length]
    limits += [
        # RoBERTa and its kin keep the first positions for padding.
        part.num_embeddings - (0 if part.padding_idx is None else part.padding_idx + 1)
        for name, part in model.named_modules()
        if name.endswith("position_embeddings") and isinstance(part, nn.Embedding)
    ]
    if len(limits) == 1 and isinstance(
        configured := getattr(model.config, "max_position_embeddings", 0), int
    ):
        limits += [configured] if configured > 0 else []
    return min(limits)
