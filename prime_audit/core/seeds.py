"""Random streams named by what they are for, all grown from one root seed."""

import hashlib
from dataclasses import dataclass

import numpy as np

from prime_audit.errors import ConfigError


@dataclass(frozen=True)
class Seeds:
    """A root seed that hands out one independent stream per purpose.

    The stream of a purpose depends on the root and on the purpose's words alone, never on what was asked
    for before. So work may run in any order, and a new purpose changes no other number.

    Args:
        root: A non-negative integer.
    """

    root: int

    def __post_init__(self) -> None:
        """Refuse a negative root."""
        if self.root < 0:
            raise ConfigError(f"the seed must not be negative, but it is {self.root}")

    def sequence(self, *purpose: str) -> np.random.SeedSequence:
        """Return the seed sequence of a purpose.

        Args:
            *purpose: Words such as `"train", "sharer", "u07"`; their number and order matter.

        Returns:
            A fresh sequence, equal for equal words.
        """
        key: list[int] = []
        for word in purpose:
            digest = hashlib.sha256(word.encode("utf-8")).digest()
            key.extend(int.from_bytes(digest[i : i + 4], "big") for i in range(0, 32, 4))
        return np.random.SeedSequence(entropy=self.root, spawn_key=tuple(key))

    def generator(self, *purpose: str) -> np.random.Generator:
        """Return a new generator of a purpose, at its beginning.

        Args:
            *purpose: See `sequence`.

        Returns:
            A PCG64 generator.
        """
        return np.random.Generator(np.random.PCG64(self.sequence(*purpose)))

    def integer(self, *purpose: str) -> int:
        """Return the integer seed of a purpose, for libraries that want a number.

        Args:
            *purpose: See `sequence`.

        Returns:
            An integer from 0 to 2**31 - 1.
        """
        return int(self.sequence(*purpose).generate_state(1)[0]) & 0x7FFFFFFF
