"""Small words that every message needs."""


def plural(count: int, noun: str) -> str:
    """Write a count with its noun.

    Args:
        count: How many.
        noun: The noun in the singular; it takes a plain s.

    Returns:
        For example "1 limit" or "3 limits".
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"
