"""Where the bundled model lies."""

from pathlib import Path
from typing import Final

TINY: Final = Path(__file__).parent / "tiny"
