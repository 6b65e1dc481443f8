"""The store of trained modules and converted models, shared between runs and keyed by digest."""

from collections.abc import Callable
from pathlib import Path

from prime_audit.core import atomic_dir, remove_temporaries
from prime_audit.errors import OutputError
from prime_audit.study.circumstances import note_circumstances

_DAY = 86400.0


class Store:
    """Folders under ``root/modules``, one per key; each appears whole or not at all."""

    def __init__(self, root: Path) -> None:
        """Names the store; nothing of it is made or changed before a run begins or a module is made.

        Args:
            root: The store's folder.
        """
        self.root = root

    def begin(self) -> None:
        """Makes the store ready for a run: makes its folder, and removes what killed runs have left in it.

        Raises:
            OutputError: If the folder cannot be created.
        """
        self._make()
        remove_temporaries(self.root / "modules", older_than=_DAY)

    def _make(self) -> None:
        try:
            (self.root / "modules").mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise OutputError(
                f"the module store {self.root} cannot be created: {error.strerror}",
                hint="set PRIME_AUDIT_CACHE to a folder that can be written",
            ) from error

    def path(self, key: str) -> Path:
        """Returns where the module of ``key`` lies, whether or not it exists."""
        return self.root / "modules" / key

    def ensure(self, key: str, write: Callable[[Path], None]) -> bool:
        """Makes the module of ``key`` if it is missing; of two runs that make it, the first one's stays.

        Args:
            key: The unit's key.
            write: Fills the folder that it is given.

        Returns:
            True if it was there already.

        Raises:
            OutputError: If the store or the module's folder cannot be made.
        """
        if self.path(key).is_dir():
            return True
        self._make()
        with atomic_dir(self.path(key), replace=False) as folder:
            write(folder)
            note_circumstances(folder)
        return False
