"""Where prime-audit keeps what it may need again."""

import os
from pathlib import Path
from typing import Final

# Either of them tells that a folder is the directory of a run.
RUN_MARKS: Final = ("config.resolved.yaml", "journal.jsonl")


def default_store() -> Path:
    """Return the folder of trained modules and converted models.

    Returns:
        `$PRIME_AUDIT_CACHE`, or `~/.cache/prime-audit`.
    """
    configured = os.environ.get("PRIME_AUDIT_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "prime-audit"
