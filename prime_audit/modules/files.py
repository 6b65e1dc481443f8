"""LoRA modules on disk, in PEFT's format. Safetensors only."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeGuard, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from prime_audit.core import (
    atomic_dir,
    atomic_write_bytes,
    printable,
    ran_out_of_memory,
    read_json,
    write_json,
)
from prime_audit.errors import ModelError, OutputError
from prime_audit.models import LanguageModel
from prime_audit.modules.lora import Factors, LoraModule, check_fit, factors_from_state, layer_of

_Number = TypeVar("_Number", int, float)
_WEIGHTS: Final = "adapter_model.safetensors"
_CONFIG: Final = "adapter_config.json"
# Keys that make an adapter something else than a plain sum ΔW = scaling · B · A; each must be unset.
_REFUSED: Final = {
    "use_dora": "DoRA",
    "modules_to_save": "modules_to_save",
    "lora_bias": "a LoRA bias",
    "fan_in_fan_out": "transposed weights (fan_in_fan_out)",
    "layer_replication": "replicated layers",
    "trainable_token_indices": "trained token embeddings",
    "target_parameters": "target_parameters",
    "alora_invocation_tokens": "activated LoRA",
    "use_qalora": "QA-LoRA",
    "use_bdlora": "block-diagonal LoRA",
    "arrow_config": "an Arrow router",
    "kasa_config": "KaSA",
    "velora_config": "VeLoRA",
    "monteclora_config": "MonteCLoRA",
}
# What else PEFT may say. Nothing of it changes B · A, and no path or class in it is followed.
_IGNORED: Final = frozenset(
    {
        *("peft_type", "task_type", "peft_version", "auto_mapping", "base_model_name_or_path", "revision"),
        *("inference_mode", "r", "lora_alpha", "lora_dropout", "use_rslora", "bias", "init_lora_weights"),
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
        *("rank_pattern", "alpha_pattern", "megatron_config", "megatron_core", "ensure_weight_tying"),
        *("loftq_config", "eva_config", "corda_config", "lora_ga_config", "qalora_group_size"),
        "runtime_config",
    }
)
# A layer's name or the end of one, as PEFT reads it: characters as they are, a dot for any of them, and ^ for
# the beginning. Nothing in it repeats or branches.
_PLAIN_PATTERN: Final = re.compile(r"\^?(?:[^\\^$|?*+(){}\[\]]|\\[\W_]){1,500}")
_MOST_PATTERNS: Final = 10_000
_LARGEST_CONFIG: Final = 1 << 20
# These start from changed base weights, so that B · A alone is not the change.
_REFUSED_STARTS: Final = re.compile(r"pissa|olora|corda|loftq|lora_ga")


def read_module(folder: Path, lm: LanguageModel | None = None, within: Path | None = None) -> LoraModule:
    """Reads a LoRA adapter in PEFT's format.

    Ranks and alphas per layer (``rank_pattern``, ``alpha_pattern``) are folded into B, so that one scaling
    holds for all layers.

    Args:
        folder: Holds ``adapter_config.json`` and ``adapter_model.safetensors``.
        lm: The base model to check the shapes against, if there is one.
        within: The folder that links may lead to, such as one that holds several adapters; by default the
            adapter's own.

    Returns:
        The module.

    Raises:
        ModelError: The adapter is missing, pickled, damaged, not finite, no plain LoRA, or for another base.
        DataError: Its configuration is no valid JSON.
    """
    if not (folder / _CONFIG).is_file():
        raise ModelError(f"module {folder}: there is no {_CONFIG}", hint="name a folder that PEFT has saved")
    for name in (_CONFIG, _WEIGHTS):
        _check_place(folder, name, within or folder)
    if (folder / _CONFIG).stat().st_size > _LARGEST_CONFIG:
        raise ModelError(
            f"module {folder}: {_CONFIG} is larger than a configuration can be", hint="save it again"
        )
    config = read_json(folder / _CONFIG)
    if not isinstance(config, dict):
        raise ModelError(f"module {folder}: {_CONFIG} is no JSON object", hint="save the adapter again")
    _check_config(config, folder)
    factors = factors_from_state(_tensors(folder), f"module {folder}")
    broken = sorted(name for name, pair in factors.items() if not all(bool(t.isfinite().all()) for t in pair))
    if broken:
        raise ModelError(
            f"module {folder}: {len(broken)} layers hold NaN or infinity, such as {broken[0]}",
            hint="the training diverged or the file is damaged",
        )
    fold = _Folding(config, folder)
    module = replace(fold.nominal, factors={name: fold(name, pair) for name, pair in factors.items()})
    if lm is not None:
        _check_fit(module, lm)
    return module


def open_module(folder: Path, lm: LanguageModel | None = None, within: Path | None = None) -> LoraModule:
    """Reads and checks an adapter as `read_module` does, and keeps one layer's factors in memory at most.

    For whoever looks at one layer of very many modules after the other.

    Args:
        folder: As for `read_module`.
        lm: As for `read_module`.
        within: As for `read_module`.

    Returns:
        The module; a layer's factors are read from its file unless they were asked for last.

    Raises:
        ModelError: As for `read_module`; also later, where the file has gone or was changed.
        DataError: Its configuration is no valid JSON.
    """
    module = read_module(folder, lm, within)
    config = read_json(folder / _CONFIG)
    if not isinstance(config, dict):
        raise _changed(folder)
    return replace(module, factors=_OnDisk(folder, tuple(module.factors), _Folding(config, folder)))


def write_module(module: LoraModule, folder: Path, base_name: str) -> None:
    """Writes a module as an adapter that ``peft.PeftModel.from_pretrained`` loads.

    Args:
        module: The module.
        folder: Where it goes, in one step; missing parents are made, and what is there is replaced.
        base_name: The base model's name, noted in the adapter's configuration.

    Raises:
        OutputError: The folder cannot be written.
    """
    state = {
        f"base_model.model.{name}.lora_{kind}.weight": tensor.contiguous()
        for name, pair in module.factors.items()
        for kind, tensor in zip("AB", pair, strict=True)
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder.parent}: cannot be made: {error.strerror or error}") from error
    with atomic_dir(folder) as temporary:
        atomic_write_bytes(temporary / _WEIGHTS, save_tensors(state, metadata={"format": "pt"}))
        write_json(temporary / _CONFIG, _config(module, base_name))


def _config(module: LoraModule, base_name: str) -> dict[str, Any]:
    ranks = {name: a.shape[0] for name, (a, _) in module.factors.items() if a.shape[0] != module.rank}
    alphas = {
        name: module.scaling * (math.sqrt(rank) if module.rslora else rank) for name, rank in ranks.items()
    }
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "inference_mode": True,
        "r": module.rank,
        "lora_alpha": module.alpha,
        "use_rslora": module.rslora,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(module.factors),
        "rank_pattern": {_exactly(name): rank for name, rank in ranks.items()},
        "alpha_pattern": {_exactly(name): alpha for name, alpha in alphas.items()},
    }


def _exactly(name: str) -> str:
    """Returns the pattern that PEFT matches with this layer's name alone."""
    return f"^{re.escape(name)}"


def _check_place(folder: Path, name: str, within: Path) -> None:
    """Refuses a link that leads out of the folder; the hub's cache links from snapshots/ to blobs/."""
    home = within.resolve()
    if home.parent.name == "snapshots":
        home = home.parent.parent
    if not (folder / name).resolve().is_relative_to(home):
        raise ModelError(
            f"module {folder}: {name} is a link that leads out of the folder",
            hint="copy the adapter into the folder: a link could show this command any file of yours",
        )


def _check_config(config: Mapping[str, Any], folder: Path) -> None:
    if config.get("peft_type") != "LORA":
        raise ModelError(f"module {folder}: peft_type is {config.get('peft_type')}", hint="only LoRA is read")
    found = [what for key, what in _REFUSED.items() if config.get(key)]
    if config.get("bias", "none") != "none":
        found.append(f"bias: {config['bias']}")
    if _REFUSED_STARTS.match(str(config.get("init_lora_weights", "")).lower()):
        found.append(f"init_lora_weights: {config['init_lora_weights']}")
    found += [
        f"'{printable(key, 40)}'"
        for key, value in config.items()
        if value and key not in _IGNORED and key not in _REFUSED
    ]
    if found:
        raise ModelError(
            f"module {folder}: uses {', '.join(found)}, which a weighted sum of modules cannot hold",
            hint="train or convert it to a plain LoRA adapter",
        )


def _tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / _WEIGHTS
    if not path.is_file() and (folder / "adapter_model.bin").exists():
        raise ModelError(
            f"module {folder}: its weights are pickled (adapter_model.bin), and a pickle can run code",
            hint="convert it where you trust it: "
            "PeftModel.from_pretrained(base, folder).save_pretrained(new_folder)",
        )
    if not path.is_file():
        raise ModelError(f"module {folder}: there is no {_WEIGHTS}", hint="save the adapter as safetensors")
    try:
        return load_tensors(path.read_bytes())
    except (SafetensorError, OSError) as error:
        if ran_out_of_memory(error):
            raise
        raise ModelError(f"module {folder}: {_WEIGHTS} cannot be read", hint="the file is damaged") from error


class _Folding:
    """Folds the layers' own scalings into B, so that the nominal module's holds for all."""

    def __init__(self, config: Mapping[str, Any], folder: Path) -> None:
        self._folder = folder
        rank, alpha = config.get("r"), config.get("lora_alpha")
        if not _is_rank(rank) or not _is_number(alpha):
            raise ModelError(
                f"module {folder}: {_CONFIG} has no usable r or lora_alpha", hint="save the adapter again"
            )
        self._ranks = _patterns(config, "rank_pattern", _is_rank, folder)
        self._alphas = _patterns(config, "alpha_pattern", _is_number, folder)
        self._rank, self._alpha = rank, alpha
        self.nominal = LoraModule(
            rank=rank,
            alpha=float(alpha),
            rslora=bool(config.get("use_rslora")),
            factors={},
            origin=str(folder),
        )
        if alpha == 0 and any(self._alphas.values()):
            # A ratio to zero folds nothing; any other alpha does.
            self.nominal = replace(self.nominal, alpha=float(rank))

    def __call__(self, name: str, pair: Factors) -> Factors:
        a, b = pair
        rank = _by_pattern(self._ranks, name, self._rank)
        own = replace(self.nominal, rank=rank, alpha=float(_by_pattern(self._alphas, name, self._alpha)))
        if a.shape[0] != own.rank:
            raise ModelError(
                f"module {self._folder}: layer {name} has rank {a.shape[0]}, "
                f"its configuration says {own.rank}",
                hint="configuration and weights belong to different adapters",
            )
        if own.scaling == self.nominal.scaling:
            return (a, b)
        return (a, b * (own.scaling / self.nominal.scaling))


class _OnDisk(Mapping[str, Factors]):
    """The factors of an adapter that was found to be sound, layer by layer from its file.

    The layer that was read last is kept: who compares modules asks for each layer of theirs several times.
    """

    def __init__(self, folder: Path, layers: tuple[str, ...], fold: _Folding) -> None:
        self._folder = folder
        self._keys: dict[str, list[str]] = {layer: [] for layer in layers}
        self._fold = fold
        self._last: tuple[str, Factors] | None = None
        with self._opened() as file:
            for key in file.keys():
                if (layer := layer_of(key)) in self._keys:
                    self._keys[layer].append(key)

    def __getitem__(self, name: str) -> Factors:
        if self._last is None or self._last[0] != name:
            self._last = (name, self._read(name))
        return self._last[1]

    def _read(self, name: str) -> Factors:
        keys = self._keys[name]
        with self._opened() as file:
            state = {key: file.get_tensor(key) for key in keys}
            pair = factors_from_state(state, f"module {self._folder}")[name]
        if not all(bool(part.isfinite().all()) for part in pair):
            raise _changed(self._folder)
        return self._fold(name, pair)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with safe_open(self._folder / _WEIGHTS, framework="pt") as file:
                yield file
        except (SafetensorError, OSError, ModelError) as error:
            if ran_out_of_memory(error):
                raise
            raise _changed(self._folder) from error

    def __contains__(self, name: object) -> bool:
        # Of itself a Mapping would read the layer to answer.
        return name in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _changed(folder: Path) -> ModelError:
    return ModelError(
        f"module {folder}: it was changed or removed while it was in use",
        hint="leave modules alone while a command runs; the same command again",
    )


def _patterns(
    config: Mapping[str, Any], key: str, usable: Callable[[object], bool], folder: Path
) -> dict[re.Pattern[str], Any]:
    """Returns which layers have a rank or alpha of their own, and which."""
    found = config.get(key) or {}
    where = f"module {folder}: {_CONFIG} has no usable {key}"
    if not isinstance(found, dict) or not all(map(usable, found.values())):
        raise ModelError(where, hint="save the adapter again")
    if len(found) > _MOST_PATTERNS:
        raise ModelError(f"{where}: {len(found)} entries are too many", hint="save the adapter again")
    for pattern in found:
        if not _PLAIN_PATTERN.fullmatch(pattern):
            raise ModelError(
                f"{where}: '{printable(pattern, 40)}' is no plain name of a layer",
                hint=f"rewrite {key} with plain names, such as layers.3.self_attn.q_proj: patterns of other "
                "people are not run, because one can take for ever",
            )
    # As PEFT puts it: the end of a layer's name.
    return {re.compile(rf"(.*\.)?({pattern})$"): value for pattern, value in found.items()}


def _is_rank(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _by_pattern(patterns: Mapping[re.Pattern[str], _Number], name: str, otherwise: _Number) -> _Number:
    """Looks a layer up the way PEFT does: the first pattern that matches."""
    return next((value for pattern, value in patterns.items() if pattern.match(name)), otherwise)


def _check_fit(module: LoraModule, lm: LanguageModel) -> None:
    try:
        check_fit(module, lm.model)
    except ModelError as error:
        raise ModelError(f"base {lm.name}: {error}", hint=error.hint) from error
