"""The bundled tiny language model, its card, and the script that trains it."""

from prime_audit.bundled.location import TINY

__all__ = ["TINY"]
