"""`python -m prime_audit` is `prime-audit`."""

from prime_audit.cli.app import main

if __name__ == "__main__":
    main()
