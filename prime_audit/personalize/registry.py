"""The table of methods, and the decorator that puts a method into it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from attacks.registry import place_of
from prime_audit.config import METHOD_KINDS, MethodSettings, declare_method
from prime_audit.errors import ConfigError
from prime_audit.models import Example
from prime_audit.personalize.trained import own_examples
from prime_audit.personalize.types import Method, Personalisation, Subject, TargetContext

Personalise = Callable[[TargetContext, Any], Personalisation]

_methods: dict[str, Method] = {}
METHODS: Mapping[str, Method] = MappingProxyType(_methods)


def register(
    kind: str,
    *,
    settings: type[MethodSettings],
    family: Literal["prompt", "training", "merging", "control"],
    label: str,
    source: str = "",
    about: tuple[Subject, ...] | None = None,
    needs_own_module: bool = False,
    examples: Callable[[TargetContext, Any], list[Example]] = own_examples,
    needs_gates: bool = False,
    needs_public: bool = False,
    shows_history: bool = False,
) -> Callable[[Personalise], Personalise]:
    """Registers a function as a method that studies may name.

    Args:
        kind: The name used in study files.
        settings: What a study may set; a subclass of ``MethodSettings`` with defaults for all keys.
        family: ``merging`` and ``control`` are audited about the sharers, ``training`` with an own module
            about the target.
        label: A short human name.
        source: Where the method is described.
        about: Whose privacy the deployed adapter is about, where that is more than the family says.
        needs_own_module: Whether the target's own module must be trained first, by the settings of
            ``TrainedSettings`` where the settings are such.
        examples: What that module is trained on; by default the target's own history, with the prompts that
            the settings ask for. Every record of the history, the target's own ones last, in the order of
            `by_date`, with its input in the prompt and its answer as the completion: early stopping sets the
            last ones aside, and the audit counts the others as members.
        needs_gates: Whether the sharers' gates must be trained first, by the ``steps``, ``lr`` and
            ``batch_size`` of the settings.
        needs_public: Whether it cannot do without public users.
        shows_history: Whether its prompts hold the target's history although its family is not ``prompt``.

    Returns:
        A decorator; the function itself is returned unchanged.

    Raises:
        ConfigError: Another method has this kind, or gates are needed and cannot be trained.
    """
    subject: Subject | None = "sharer" if family in ("merging", "control") else None
    if needs_own_module:
        subject = "target"
    if needs_gates and (
        subject != "sharer" or not {"steps", "lr", "batch_size"} <= set(settings.model_fields)
    ):
        raise ConfigError(
            f"the method '{kind}' needs gates, but does not say how to train them",
            hint="make it a merging method with steps, lr and batch_size among its settings",
        )

    def add(personalise: Personalise) -> Personalise:
        if kind in _methods:
            both = f"{place_of(_methods[kind].personalise)} and {place_of(personalise)}"
            raise ConfigError(f"two methods are called '{kind}': {both}", hint="rename one of them")
        if METHOD_KINDS.get(kind, settings) is not settings:
            raise ConfigError(
                f"'{kind}' is built in, and {place_of(personalise)} brings another one of that name",
                hint="rename the plug-in's method",
            )
        if kind not in METHOD_KINDS:
            declare_method(kind, settings)
        _methods[kind] = Method(
            kind=kind,
            family=family,
            label=label,
            personalise=personalise,
            settings=settings,
            subject=subject,
            about=about or ((subject,) if subject else ()),
            needs_own_module=needs_own_module,
            examples=examples if needs_own_module else None,
            needs_gates=needs_gates,
            needs_public=needs_public,
            shows_history=shows_history,
            source=source,
        )
        return personalise

    return add
