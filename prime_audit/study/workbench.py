"""What the units of one run share: data, flips, models, modules, and where evidence lies."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from attacks import TokenScores
from prime_audit.config import MethodConfig, RetrievalSettings, StudyConfig
from prime_audit.core import Seeds, atomic_write_bytes
from prime_audit.data import (
    CanaryDesign,
    Dataset,
    Holdout,
    Item,
    PoolDesign,
    ShadowDesign,
    SwapDesign,
    Task,
    Unseen,
    User,
    draw_canaries,
    draw_pools,
    draw_shadows,
    draw_swaps,
    draw_unseen,
)
from prime_audit.models import (
    Batching,
    Example,
    LanguageModel,
    Meter,
    SentenceEncoder,
    SentenceFolder,
    encode_all,
    load_model,
    load_sentence_encoder,
    read_sentence_folder,
)
from prime_audit.modules import LoraModule, merged_into, open_module, read_gates, read_module
from prime_audit.personalize import Calibration, predict_with
from prime_audit.study.identity import quantizer
from prime_audit.study.parts import Part, Parts, load_parts, parts_to_bytes
from prime_audit.study.prompt_requests import REQUESTS
from prime_audit.study.store import Store

# The folder in which searches keep what they have measured until the run is complete.
SEARCH = "search"
_KEPT = 16
_Read = TypeVar("_Read")


def own_unit(method: str, target: str) -> str:
    """Returns the name of the unit that trains a target's own module for a method."""
    return f"own/{method}/{target}"


@dataclass
class Workbench:
    """The state that units read. Models are loaded when first needed, and kept; so are the last modules.

    Attributes:
        config: The study.
        dataset: Users and task.
        holdout: The coin flips.
        store: The store of trained modules.
        out: The run directory.
        keys: Key of every planned unit by name; modules are found in the store by the key of their unit.
        memory: What methods leave for one another in memory; nothing of it is written.
    """

    config: StudyConfig
    dataset: Dataset
    holdout: Holdout
    store: Store
    out: Path
    keys: Mapping[str, str] = field(default_factory=dict)
    _encoders: dict[str, SentenceEncoder] = field(default_factory=dict)
    memory: dict[str, tuple[str, Meter]] = field(default_factory=dict)

    @cached_property
    def seeds(self) -> Seeds:
        """Seeds of the study."""
        return Seeds(self.config.seed)

    @cached_property
    def training_seeds(self) -> Seeds:
        """Seeds of what is trained and searched; the study's own unless `training.seed` is set."""
        chosen = self.config.training.seed
        return self.seeds if chosen is None else Seeds(chosen)

    @cached_property
    def batching(self) -> Batching:
        """How much the study's models compute at once."""
        return Batching(self.config.run.batch_tokens)

    @cached_property
    def pretrained(self) -> LanguageModel:
        """The model as it came."""
        found = load_model(self.config.model, self.store.root, self.config.training.max_tokens)
        return replace(found, batching=self.batching)

    def model_part(self) -> dict[str, str]:
        """Returns what of the pretrained model every key holds: digest, dtype, kind of device, quantiser."""
        return {
            "digest": self.pretrained.digest,
            "dtype": str(self.pretrained.model.dtype).removeprefix("torch."),
            "device": self.pretrained.device.type,
            **quantizer(self.config.model),
        }

    @cached_property
    def base(self) -> LanguageModel:
        """The task-adapted model; the pretrained one itself if there are no public users to adapt on."""
        if "adapt" not in self.keys:
            return self.pretrained
        return merged_into(self.pretrained, read_module(self.store.path(self.keys["adapt"])))

    @cached_property
    def shadows(self) -> ShadowDesign:
        """Which records each shadow is trained on; nobody has shadows unless the study asks for them."""
        settings = self.config.audit.shadows
        users = self.dataset.sharers[: settings.sharers] if settings else ()
        return draw_shadows(users, self.holdout, self.seeds, settings.count if settings else 0)

    @cached_property
    def swaps(self) -> SwapDesign:
        """Which records are swapped; none unless the study asks for it."""
        settings = self.config.audit.swaps
        users = self.dataset.sharers if settings else ()
        return draw_swaps(users, self.holdout, self.seeds, settings.records if settings else 0)

    @cached_property
    def unseen(self) -> Unseen:
        """The study's known non-members."""
        passes = self.config.audit.passes
        return draw_unseen(self.dataset, self.seeds, passes.shots, passes.population)

    @cached_property
    def pools(self) -> PoolDesign:
        """Which pool each sharer is in."""
        return draw_pools([sharer.id for sharer in self.dataset.sharers], self.seeds)

    @cached_property
    def canaries(self) -> CanaryDesign:
        """Which secrets are planted in whose training; none unless the study asks for them."""
        settings = self.config.audit.canaries
        if settings is None:
            return CanaryDesign(MappingProxyType({}))
        loss = self.config.training.loss
        return draw_canaries(self.dataset.sharers, self.dataset.task.past, loss, self.seeds, settings)

    def designs(self) -> dict[str, dict[str, object]]:
        """Returns the manifest of every design of the study, by the name of its file."""
        audit = self.config.audit
        found = {"design.json": self.holdout.manifest()}
        if audit.shadows is not None:
            found["design-shadows.json"] = self.shadows.manifest()
        if audit.swaps is not None:
            found["design-swaps.json"] = self.swaps.manifest()
        if audit.pools is not None:
            found["design-pools.json"] = self.pools.manifest()
        if audit.canaries is not None:
            found["design-canaries.json"] = self.canaries.manifest()
        return found

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Words that altered copies of a record may hold: those of the public users, or of the queries."""
        items = [item for user in self.dataset.public for item in user.history]
        items = items or [item for user in self.dataset.targets for item in user.queries]
        texts = (text for item in items for text in (item.input, item.answer or ""))
        return tuple(sorted({word for text in texts for word in text.split()}))

    @cached_property
    def sentence_folder(self) -> SentenceFolder | None:
        """The sentence-transformers folder that embeds histories, checked; None for other embedders."""
        embedder = self.config.sharers.embedder
        return None if embedder in ("base", "tfidf") else read_sentence_folder(Path(embedder))

    def settings_of(self, method: MethodConfig) -> dict[str, Any]:
        """Returns a method's settings with the digest of an encoder's files in the place of their path."""
        settings: dict[str, Any] = method.model_dump(mode="json")
        if isinstance(method, RetrievalSettings) and method.encoder != "base":
            settings["encoder"] = read_sentence_folder(Path(method.encoder)).digest
        return settings

    def encoder(self, folder: str) -> Callable[[Sequence[str]], NDArray[np.float64]]:
        """Returns the function that embeds texts by a sentence-transformers folder."""
        if folder not in self._encoders:
            read = read_sentence_folder(Path(folder))
            self._encoders[folder] = load_sentence_encoder(read, self.base.device)
        return self._encoders[folder].embed

    @property
    def embedder_part(self) -> str:
        """What of the embedder every key holds: its name, or the digest of its files wherever they lie."""
        return self.sentence_folder.digest if self.sentence_folder else self.config.sharers.embedder

    @cached_property
    def base_answers(self) -> tuple[str, ...]:
        """What the base answers to the requests of prompt leakage, which it reads without a history."""
        prompts = [self.dataset.task.prompt(request.text) for request in REQUESTS]
        return tuple(predict_with(self.base, self.dataset.task, prompts, None))

    @cached_property
    def token_numbers(self) -> NDArray[np.int64]:
        """Numbers the tokenizer's ids by first appearance in what is scored, shape ``(vocabulary,)``.

        Evidence holds these numbers: equality and frequency survive over the whole study, and without the
        histories nobody can turn them back into text. Ids that appear nowhere share the last number.
        """
        # Queries come last, so that they leave the numbers of the audited tokens as they are.
        queries = [item for user in self.dataset.targets for item in user.queries if item.answer]
        asked = [self.put(item, self.dataset.task) for item in queries]
        found: dict[int, None] = {}
        for examples in itertools.chain(map(self.examples, self.holdout.flips), [asked]):
            encoded = encode_all(self.base, examples, "full")
            found.update(dict.fromkeys(token for one in encoded for token in one.ids))
        seen = list(found)
        size = max(len(self.base.tokenizer), self.base.model.config.get_text_config().vocab_size)
        numbers = np.full(size, len(seen), dtype=np.int64)
        numbers[seen] = np.arange(len(seen))
        return numbers

    @cached_property
    def module(self) -> Callable[[str], LoraModule]:
        """Returns the module trained on a user's IN half."""

        def read(user: str) -> LoraModule:
            module = read_module(self.store.path(self.keys[f"train/{user}"]), self.base)
            # Messages name the user, and not a folder of the store.
            return replace(module, origin=user)

        return self._last(read)

    def modules_on_disk(self, users: Sequence[str]) -> dict[str, LoraModule]:
        """Returns many users' modules by user, of which no more than some are in memory.

        The first ones are read; of the others a layer is read when somebody looks at it.
        """
        few = {user: self.module(user) for user in users[:_KEPT]}
        many = {
            user: replace(open_module(self.store.path(self.keys[f"train/{user}"]), self.base), origin=user)
            for user in users[_KEPT:]
        }
        return few | many

    def own_module(self, method: str, target: str) -> LoraModule:
        """Returns the module that a method trained for a target."""
        module = read_module(self.store.path(self.keys[own_unit(method, target)]), self.base)
        return replace(module, origin=f"{target} ({method})")

    @cached_property
    def gates(self) -> Callable[[str], dict[str, Tensor]]:
        """Returns the gates of a sharer's module, ``(d_in,)`` by layer."""

        def read(user: str) -> dict[str, Tensor]:
            return read_gates(self.store.path(self.keys[f"gate/{user}"]), self.module(user))

        return self._last(read)

    def _last(self, read: Callable[[str], _Read]) -> Callable[[str], _Read]:
        """Keeps what was read last, so that memory does not grow with the number of sharers."""
        return lru_cache(maxsize=max(_KEPT, 2 * self.config.sharers.per_target))(read)

    def seen(self, user: User) -> User:
        """Returns the user as every method sees it: the history's IN half alone.

        A profile that came with the data is not shown: nobody knows which records it tells of. A method that
        asks for it by name gets it where `check_feasible` lets it.
        """
        return replace(user, history=self.holdout.members(user), profile_text=None)

    def example(self, item: Item) -> Example:
        """Returns a past item as the models train and score it."""
        return self.put(item, self.dataset.task.past)

    def put(self, item: Item, task: Task) -> Example:
        """Returns an item in a task's form, as the models train and score it."""
        return Example(prompt=task.prompt(item.input), completion=task.completion(item.answer or ""))

    def examples(self, user: str) -> list[Example]:
        """Returns a user's audited history, members and non-members, in file order."""
        return [self.example(item) for item in self.holdout.audited(self.dataset.user(user))]

    def history_size(self, user: str) -> int:
        """Tokens of a user's audited history, from above: a token is at least one byte of its text."""
        limit = self.config.training.max_tokens
        texts = (one.prompt + one.completion for one in self.examples(user))
        return sum(min(limit, len(text.encode()) + 2) for text in texts)

    @cached_property
    def longest_history(self) -> int:
        """Tokens of the longest audited history, from above."""
        return max(map(self.history_size, self.holdout.flips), default=0)

    def member(self, user: str) -> NDArray[np.bool_]:
        """Returns the coin flips of a user's audited history, aligned with `examples`; True is IN."""
        return np.array(self.holdout.audited_flips(user), dtype=bool)

    def calibration(self, user: str) -> Calibration:
        """Returns the records of a sharer that were set aside; the audit scores none of them."""
        return Calibration(*self.holdout.set_aside(self.dataset.user(user)))

    def adapter_path(self, method: str, target: str) -> Path:
        """Returns where the adapter that a method deploys for a target lies in the run directory."""
        return self.out / "modules" / method / target

    def evidence_path(self, name: str) -> Path:
        """Returns where a scoring unit writes its evidence."""
        # The key keeps evidence of other data or settings apart, and names apart that differ in a dot alone.
        return self.out / "evidence" / f"{name.replace('/', '.')}.{self.keys[name][:16]}.safetensors"

    def search_path(self, name: str) -> Path:
        """Returns where a unit keeps what its search has measured until the run is complete."""
        folder = self.out / SEARCH
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder / f"{name.replace('/', '.')}.{self.keys[name][:16]}.jsonl"

    def save_evidence(self, name: str, scores: TokenScores) -> None:
        """Writes evidence under a temporary name and renames it."""
        self._save(name, scores.to_bytes())

    def save_parts(self, name: str, parts: Parts) -> None:
        """Writes parts of evidence in the same way."""
        self._save(name, parts_to_bytes(parts))

    def parts(self, name: str) -> dict[str, Part]:
        """Reads the parts that a unit wrote."""
        return load_parts(self.evidence_path(name))

    def _save(self, name: str, data: bytes) -> None:
        path = self.evidence_path(name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        atomic_write_bytes(path, data)

    def evidence(self, name: str) -> TokenScores:
        """Reads the evidence of a scoring unit."""
        return TokenScores.load(self.evidence_path(name))
