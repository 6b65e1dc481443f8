"""`python -m prime_audit` is `prime-audit`."""

import sys

from prime_audit.cli.app import main

if __name__ == "__main__":
    # A run's manifest holds its command as typed, and nobody can type `__main__.py`.
    sys.argv[0] = "prime-audit"
    main()
