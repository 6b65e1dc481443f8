"""Reading other people's adapters for one base: a folder with one per sharer, or those of a finished run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prime_audit.core import check_id, default_store, inside, read_json
from prime_audit.errors import DataError, ModelError, PrimeAuditError
from prime_audit.models import LanguageModel
from prime_audit.modules import LoraModule, open_module, read_module

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
_PICKLES: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_SHOWN: Final = 20


@dataclass(frozen=True)
class Adapters:
    """Where the sharers' adapters lie.

    Attributes:
        root: No adapter may lie, or link, outside of it.
        folders: Each sharer's adapter, sorted by name.
        adaptation: The adapter that a run's base was adapted with, if they come from a run that did so.
        run: The run that they come from, if they do.
        quantization: How that run's base held its weights, or None if that was in full.
    """

    root: Path
    folders: Mapping[str, Path]
    adaptation: Path | None = None
    run: Path | None = None
    quantization: Mapping[str, object] | None = None


def find_adapters(folder: Path) -> Adapters:
    """Finds the sharers' adapters in a folder, or in the store where a run has left them.

    Args:
        folder: Its sub-folders are named after the sharers (hidden ones and plain files are left aside); or
            a run directory of `prime-audit evaluate`.

    Returns:
        Where they are.

    Raises:
        DataError: There is no such folder, a name is not usable, or the run trained no sharer's module.
        ModelError: The store has lost a module of the run.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return Adapters(folder, {name: folder / name for name in _sharers(folder)})
    content = read_json(manifest)
    trained = content.get("modules") if isinstance(content, dict) else None
    sharers = trained.get("sharers") if isinstance(trained, dict) else None
    if not isinstance(trained, dict) or not isinstance(sharers, dict) or not sharers:
        raise DataError(
            f"{folder}: this run trained no sharer's module", hint="name a run with a merging method"
        )
    root = default_store() / "modules"
    folders = {
        check_id(str(name), "sharer", str(manifest)): root / check_id(str(key), "module", str(manifest))
        for name, key in sorted(sharers.items())
    }
    key = trained.get("adaptation")
    adaptation = root / check_id(str(key), "module", str(manifest)) if key else None
    lost = [place.name for place in (*folders.values(), adaptation) if place and not place.is_dir()]
    if lost:
        raise ModelError(
            f"{folder}: the store {root} no longer holds its module {lost[0]}",
            hint="the same `prime-audit evaluate` trains it again; PRIME_AUDIT_CACHE must name its store",
        )
    model = content.get("model") if isinstance(content, dict) else None
    held = model.get("quantization") if isinstance(model, dict) else None
    return Adapters(root, folders, adaptation, folder, held if isinstance(held, dict) else None)


def check_precision(found: Adapters, base: LanguageModel) -> None:
    """Refuses a run's modules on a base that holds its weights in another way than that run's.

    Args:
        found: Where they lie.
        base: The base.

    Raises:
        ModelError: One of both bases is in 4 bits and the other in full.
    """
    if found.run is None or found.quantization == base.quantization:
        return
    both = (found.quantization, base.quantization)
    of_run, here = ("in full" if one is None else "in 4 bits" for one in both)
    raise ModelError(
        f"{found.run}: its modules were trained on a base {of_run}, and the base is {here}",
        hint="leave model.quantize out" if found.quantization is None else "add --set model.quantize=4bit",
    )


def read_adapters(found: Adapters, base: LanguageModel) -> dict[str, LoraModule]:
    """Reads every sharer's PEFT adapter.

    Args:
        found: Where they lie.
        base: The base that all adapters were trained on.

    Returns:
        The modules by sharer, sorted by name.

    Raises:
        DataError: A link leads out of the folder.
        ModelError: An adapter cannot be used (every one is named), a sharer appears twice, or the adapters
            do not belong together.
    """
    modules = read_each(found, base)
    _refuse_mixed_targets(modules)
    _refuse_mixed_bases(found.folders)
    return modules


def read_each(
    found: Adapters, base: LanguageModel | None, in_memory: int | None = None
) -> dict[str, LoraModule]:
    """Reads every sharer's PEFT adapter, whether or not they can be merged with one another.

    Args:
        found: Where they lie.
        base: The base that all adapters were trained on, to check the shapes against; None checks none.
        in_memory: How many may be in memory; of the others a layer is read when it is looked at. None: all.

    Returns:
        The modules by sharer, sorted by name.

    Raises:
        DataError: A link leads out of the folder.
        ModelError: An adapter cannot be used (every one is named), or a sharer appears twice.
    """
    folder, names = found.root, list(found.folders)
    modules: dict[str, LoraModule] = {}
    faults: list[PrimeAuditError] = []
    for place, (name, path) in enumerate(found.folders.items()):
        try:
            _check_files(folder, path)
            read = read_module if in_memory is None or place < in_memory else open_module
            modules[name] = read(path, base, within=folder)
        except (DataError, ModelError) as error:
            faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        lines = [str(fault) for fault in faults[:_SHOWN]]
        hints = dict.fromkeys(fault.hint for fault in faults if fault.hint)
        raise ModelError(
            f"{folder}: {len(faults)} of {len(names)} adapters cannot be used\n" + "\n".join(lines),
            hint="; ".join(hints),
        )
    _refuse_twins(modules)
    return modules


def _sharers(folder: Path) -> list[str]:
    """The names of the sub-folders; each is safe, and none differs from another by case alone."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", hint="name the folder that holds the sharers' adapters")
    if (folder / CONFIG).exists():
        raise DataError(
            f"{folder}: this is one adapter, not a folder of adapters",
            hint="name the folder above it: one sub-folder per sharer",
        )
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[:1] != ".")
    if not names:
        raise DataError(f"{folder}: there is no adapter in it", hint="give each sharer a sub-folder")
    seen: dict[str, str] = {}
    for name in names:
        check_id(name, "sharer", str(folder))
        twin = seen.setdefault(name.casefold(), name)
        if twin != name:
            raise DataError(
                f"{folder}: the sharer '{name}' is named twice: '{twin}' and '{name}' differ in case alone",
                hint="keep one of them, or give them different names",
            )
    return names


def _check_files(folder: Path, path: Path) -> None:
    for part in (path, path / CONFIG, path / WEIGHTS):
        try:
            inside(folder, part.absolute())
        except DataError as error:
            raise DataError(
                f"{part}: a link that leads out of {folder}",
                hint="copy the adapter into the folder: a link could show this command any file of yours",
            ) from error
    pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
    if pickles and not (path / WEIGHTS).exists():
        raise ModelError(
            f"module {path}: its weights are pickled ({', '.join(pickles[:3])}), and a pickle can run code",
            hint="convert it where you trust it: "
            "PeftModel.from_pretrained(base, folder).save_pretrained(new_folder)",
        )


def _refuse_twins(modules: Mapping[str, LoraModule]) -> None:
    seen: dict[str, str] = {}
    for name, module in modules.items():
        twin = seen.setdefault(module.digest, name)
        if twin != name:
            raise ModelError(
                f"a sharer is named twice: '{twin}' and '{name}' hold the same module",
                hint="remove one of them: they cannot be told apart, and would count double in a merge",
            )


def _refuse_mixed_targets(modules: Mapping[str, LoraModule]) -> None:
    """All adapters must change the same layers; the first one is what the others are compared with."""
    (first, one), *others = modules.items()
    for name, other in others:
        odd = sorted(set(one.factors) ^ set(other.factors))
        if odd:
            owner = first if odd[0] in one.factors else name
            raise ModelError(
                f"adapters '{first}' and '{name}' change different layers: {len(one.factors)} and "
                f"{len(other.factors)}; {odd[0]} ({_shape(modules[owner], odd[0])}) is in '{owner}' alone",
                hint="merge adapters that were trained with the same target_modules",
            )


def _shape(module: LoraModule, layer: str) -> str:
    a, b = module.factors[layer]
    return f"{b.shape[0]} x {a.shape[1]}"


def _refuse_mixed_bases(folders: Mapping[str, Path]) -> None:
    """Equal shapes prove nothing: two fine-tunes of one architecture fit each other's adapters."""
    declared = {name: base for name, path in folders.items() if (base := declared_base(path))}
    for name, base in declared.items():
        first = next(iter(declared))
        if base.casefold() != declared[first].casefold():
            raise ModelError(
                f"adapters '{first}' and '{name}' are for different bases: '{declared[first]}' and '{base}'",
                hint="merge adapters of one base; if it is one model under two names, correct "
                f"base_model_name_or_path in {CONFIG}",
            )


def declared_base(folder: Path) -> str:
    """Returns the last part of the base's name in an adapter's configuration.

    Args:
        folder: The adapter.

    Returns:
        The name without owner or path, or an empty string if the adapter names no base.
    """
    config = read_json(folder / CONFIG)
    name = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2] if isinstance(name, str) else ""
