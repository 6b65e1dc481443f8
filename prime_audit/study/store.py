"""The store of trained modules and converted models, shared between runs and keyed by digest."""

from collections.abc import Callable
from pathlib import Path

from prime_audit.core import atomic_dir, default_store, remove_temporaries
from prime_audit.errors import OutputError
from prime_audit.study.circumstances import note_circumstances

_DAY = 86400.0
__all__ = ["Store", "default_store"]


class Store:
    """Folders under ``root/modules``, one per key; each appears whole or not at all."""

    def __init__(self, root: Path) -> None:
        """Creates the store's folder if it is missing.

        Args:
            root: The store's folder.

        Raises:
            OutputError: If it cannot be created.
        """
        self.root = root
        try:
            (root / "modules").mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise OutputError(
                f"the module store {root} cannot be created: {error.strerror}",
                hint="set PRIME_AUDIT_CACHE to a folder that can be written",
            ) from error
        remove_temporaries(root / "modules", older_than=_DAY)

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
        """
        if self.path(key).is_dir():
            return True
        with atomic_dir(self.path(key), replace=False) as folder:
            write(folder)
            note_circumstances(folder)
        return False
