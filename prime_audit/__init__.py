"""What personalising by merging shared LoRA modules buys, and what it gives away.

Nothing heavy is imported until a name is used: `import prime_audit` loads neither torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prime_audit.api import evaluate, load_results, load_study, register_attack, register_method
    from prime_audit.bring import attack
    from prime_audit.personalize.standalone import personalize

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "attack",
    "evaluate",
    "load_results",
    "load_study",
    "personalize",
    "register_attack",
    "register_method",
]


def __getattr__(name: str) -> object:
    """Import a public name on its first use."""
    if name not in __all__:
        raise AttributeError(f"module 'prime_audit' has no attribute '{name}'")
    if name == "personalize":
        # The package itself, which can be called: see prime_audit.personalize.callable_package.
        return import_module("prime_audit.personalize")
    room = "prime_audit.bring" if name == "attack" else "prime_audit.api"
    return getattr(import_module(room), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
