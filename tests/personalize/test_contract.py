from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from prime_audit.errors import ConfigError
from prime_audit.modules import LoraModule
from prime_audit.personalize import METHODS, Personalisation, TargetContext, checked

MakeContext = Callable[..., TargetContext]


@pytest.fixture
def good(make_context: MakeContext, modules: dict[str, LoraModule]) -> Personalisation:
    return Personalisation(make_context().plain_prompt, modules["a"], ("a", "b"), (0.5, 0.5))


@pytest.mark.parametrize(
    ("kind", "change", "fault"),
    [
        ("rag", {}, "nobody audits the family 'prompt'"),
        ("uniform", {"sources": ("a", "z")}, "it merges z, whom it was not given"),
        ("oppu", {}, "it merges a, b, whom it was not given"),
        ("uniform", {"adapter": None, "sources": (), "weights": ()}, "does not say that it fell back"),
        ("uniform", {"on_pretrained": True}, "says that it deploys none"),
        ("uniform", {"reverted": True}, "says that it deploys none"),
        ("uniform", {"weights": (0.5,)}, "one finite weight per source"),
        ("uniform", {"weights": (0.5, float("nan"))}, "one finite weight per source"),
        ("uniform", {"sources": ("a", "a")}, "name each user whose module is in the adapter, once"),
        ("uniform", {"sources": (), "weights": ()}, "name each user whose module is in the adapter, once"),
        ("uniform", {"adapter": None, "reverted": True}, "sources or weights of an adapter"),
        ("uniform", {"chosen": 0}, "the chosen point is not among its points"),
    ],
)
def test_what_the_audit_would_misread_is_refused(
    make_context: MakeContext, good: Personalisation, kind: str, change: dict[str, Any], fault: str
) -> None:
    assert checked(METHODS["uniform"], make_context(), good) is good
    with pytest.raises(ConfigError, match=f"method '{kind}' for t: .*{fault}"):
        checked(METHODS[kind], make_context(), replace(good, **change))


def test_the_plain_model_and_a_fallback_that_says_so_are_fine(make_context: MakeContext) -> None:
    context = make_context()
    checked(METHODS["base"], context, Personalisation(context.plain_prompt))
    checked(METHODS["prime"], context, Personalisation(context.plain_prompt, reverted=True, reason="why"))
