"""Loading a causal language model from a folder, the hub, or what is bundled. Safetensors only."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import huggingface_hub
import torch
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from prime_audit.bundled import TINY
from prime_audit.config import ModelConfig
from prime_audit.core import digest_file, digest_json, printable, ran_out_of_memory, read_json
from prime_audit.errors import ModelError, NoMemoryError
from prime_audit.models.first_calls import settle_first_calls
from prime_audit.models.language_model import LanguageModel
from prime_audit.models.quantizing import (
    FOUR_BITS,
    check_quantization,
    loading_settings,
    use_plain_arithmetic,
)
from prime_audit.models.smollm2 import converted_smollm2

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_TOKENIZER_FILES: Final = (
    "tokenizer*.json", "*.model", "vocab.*", "merges.txt", "special_tokens_map.json", "added_tokens.json"
)  # fmt: skip
_DIGESTED: Final = ("*.safetensors", "*.safetensors.index.json", "config.json", *_TOKENIZER_FILES)
_FETCHED: Final = (*_DIGESTED, "generation_config.json")
_PICKLES: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def load_model(config: ModelConfig, store_root: Path, max_tokens: int | None = None) -> LanguageModel:
    """Loads the model a study asks for.

    Args:
        config: Base (``tiny``, ``smollm2``, a folder, or a hub id), dtype, device, quantize, revision,
            offline. ``auto`` is cuda, then mps, then cpu; and float32, on cuda bfloat16 where it is
            supported.
        store_root: The store that converted models are kept in.
        max_tokens: Longest sequence to feed, in tokens; at most, and by default, the model's context.

    Returns:
        The model, in eval mode and without gradients.

    Raises:
        ModelError: The model is missing, pickled, quantised, incomplete or needs its own code; or no such
            device.
        ConfigError: It cannot be quantised here.
    """
    settle_first_calls()
    device = _device(config.device)
    if config.quantize is not None:
        check_quantization(device.type)
    folder = _folder(config, store_root)
    _check_folder(folder, config.base)
    model, tokenizer = _read(folder, config, _dtype(config.dtype, device), device)
    quantization = None if config.quantize is None else FOUR_BITS
    context = _context(model)
    lm = LanguageModel(
        model=model,
        tokenizer=tokenizer,
        device=device,
        digest=_digest(folder, quantization),
        name=config.base,
        max_tokens=min(context, max_tokens or context),
        quantization=quantization,
    )
    _check_tokenizer(lm)
    return lm


def model_outline(config: ModelConfig, store_root: Path) -> nn.Module:
    """Builds the layers of the model a study asks for, with their shapes and without their weights.

    Args:
        config: The model.
        store_root: The store that converted models are kept in.

    Returns:
        A model on the device ``meta``.

    Raises:
        ModelError: See `load_model`.
    """
    folder = _folder(config, store_root)
    _check_folder(folder, config.base)
    auto: Any = AutoModelForCausalLM
    try:
        with quiet(), torch.device("meta"):
            found: nn.Module = auto.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    except Exception as error:
        # As in `_read`.
        raise ModelError(f"model {config.base}: cannot be outlined: {_first_line(error)}") from error
    return found


def _folder(config: ModelConfig, store_root: Path) -> Path:
    if config.base == "tiny":
        return TINY
    if config.base == "smollm2":
        with quiet():
            return converted_smollm2(store_root)
    path = Path(config.base).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ModelError(
            f"model {config.base}: this is a file", hint="name the folder that holds config.json"
        )
    if not _HUB_ID.fullmatch(config.base):
        raise ModelError(
            f"model {config.base}: no such folder", hint="use tiny, smollm2, an existing folder or a hub id"
        )
    return _from_hub(config)


def _from_hub(config: ModelConfig) -> Path:
    try:
        folder = huggingface_hub.snapshot_download(
            config.base,
            revision=config.revision,
            local_files_only=config.offline,
            allow_patterns=list(_FETCHED),
        )
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"model {config.base}: neither a folder nor a model in the local hub cache",
            hint=f"check the spelling, or fetch it first: hf download {config.base} "
            "(a study also fetches it with model.offline: false)"
            if config.offline
            else "check the spelling and the network",
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ModelError(
            f"model {config.base}: cannot be fetched: {_first_line(error)}",
            hint="check the id, the revision and your access to it",
        ) from error
    return Path(folder)


def _check_folder(folder: Path, name: str) -> None:
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"model {name}: the folder holds an adapter (adapter_config.json)",
            hint="name the adapter's base model",
        )
    if not (folder / "config.json").exists():
        raise ModelError(f"model {name}: the folder has no config.json", hint="name a model folder")
    settings = read_json(folder / "config.json")
    if isinstance(settings, dict) and settings.get("quantization_config"):
        raise ModelError(
            f"model {name}: its files are quantised already (quantization_config in config.json)",
            hint="name the model that they were made from; model.quantize: 4bit quantises it as it is read",
        )
    if any((folder / file).exists() for file in ("model.safetensors", "model.safetensors.index.json")):
        return
    pickles = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
    if pickles:
        raise ModelError(
            f"model {name}: its weights are pickled ({', '.join(pickles[:3])}), and a pickle can run code",
            hint="convert it where you trust it: AutoModelForCausalLM.from_pretrained(folder)"
            ".save_pretrained(new_folder), and copy the tokenizer files",
        )
    raise ModelError(
        f"model {name}: the folder has no model.safetensors", hint="save the model as safetensors"
    )


def _read(
    folder: Path, config: ModelConfig, dtype: torch.dtype, device: torch.device
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    name, more = config.base, {} if config.quantize is None else loading_settings(dtype, device)
    auto: Any = AutoModelForCausalLM
    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
            model, report = auto.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **more, **safe
            )
    except Exception as error:
        if ran_out_of_memory(error):
            raise NoMemoryError(
                f"model {name}: does not fit into memory",
                hint="try fewer run.workers, model.dtype: bfloat16, model.quantize: 4bit, or more memory",
            ) from error
        # Readers of many formats sit below this call and raise what they like; the cause stays chained.
        raise ModelError(
            f"model {name}: cannot be loaded: {_first_line(error)}",
            hint="it must be a complete causal language model known to transformers, with its tokenizer",
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"model {name}: {len(missing)} weights are missing, such as {missing[0]}",
            hint="the download or the export is incomplete",
        )
    if config.quantize is not None and not use_plain_arithmetic(model):
        raise ModelError(
            f"model {name}: none of its layers can be held in 4 bits",
            hint="leave model.quantize out",
        )
    return model.to(device).eval().requires_grad_(False), tokenizer


def _check_tokenizer(lm: LanguageModel) -> None:
    rows = lm.embedding_shape[0]
    if len(lm.tokenizer) > rows:
        raise ModelError(
            f"model {lm.name}: its tokenizer has {len(lm.tokenizer)} tokens, its embedding {rows}",
            hint="the tokenizer belongs to another model",
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers from writing progress bars and advice to the terminal inside the block."""
    log: Any = transformers_logging
    bars, level = log.is_progress_bar_enabled(), log.get_verbosity()
    log.disable_progress_bar()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _digest(folder: Path, quantization: Mapping[str, Any] | None) -> str:
    names = sorted(
        file.name
        for file in folder.iterdir()
        if file.is_file() and any(fnmatch(file.name, pattern) for pattern in _DIGESTED)
    )
    files = digest_json([[name, digest_file(folder / name)] for name in names])
    return files if quantization is None else digest_json([files, dict(quantization)])


def _device(wanted: str) -> torch.device:
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, there in present.items() if there))
    if not present[wanted]:
        raise ModelError(f"device {wanted} is not available here", hint="use model.device: auto")
    return torch.device(wanted)


def _dtype(wanted: str, device: torch.device) -> torch.dtype:
    if wanted == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]


def _context(model: PreTrainedModel) -> int:
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    # Architectures without position embeddings have no limit of their own.
    return longest if isinstance(longest, int) and longest > 0 else 4096


def _first_line(error: Exception) -> str:
    return printable(f"{type(error).__name__}: {error}".splitlines()[0])
