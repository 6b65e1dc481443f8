"""Makes `prime_audit.personalize` callable, since the function that users call has this package's name.

`prime_audit.personalize(...)` is what a user writes. But once any module of this package is imported, Python
sets the attribute `personalize` of `prime_audit` to the package, and a function of that name would be gone.
A module may have a class of its own, and one with `__call__` can be called: so the name means the same thing
before and after the import.
"""

import sys
from types import ModuleType

from prime_audit.personalize.standalone import personalize

__all__ = ["personalize"]


class CallablePackage(ModuleType):
    """A package that, when called, does what its function `personalize` does."""

    __call__ = staticmethod(personalize)


sys.modules["prime_audit.personalize"].__class__ = CallablePackage
