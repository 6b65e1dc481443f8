"""Checking the values of one record that somebody hands in; each fault is noted with its place."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prime_audit.core import printable
from prime_audit.data.records import Place, read_id, read_text_field

_FLAGS: Final = {"true": True, "false": False, "1": True, "0": False}
# A float32 log-softmax may exceed zero by its rounding, and by no more than this.
_ROUNDING: Final = 1e-4
_LONGEST_ID: Final = 200


def record_id(record: Mapping[str, object], place: Place) -> str | None:
    """Returns a record's id, which may be any text or whole number, or None after a fault."""
    value = record.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        place.at("id").fault("missing" if value is None else "expected text or a whole number")
        return None
    return printable(value, _LONGEST_ID)


def user_id(record: Mapping[str, object], place: Place) -> str | None:
    """Returns the id of a record's user; None where the record names none, and after a fault."""
    return None if record.get("user") is None else read_id(record, "user", "user", place)


def flag(record: Mapping[str, object], key: str, place: Place) -> bool | None:
    """Returns true or false, which may be written as 1 or 0, or None after a fault."""
    value = record.get(key)
    known = _FLAGS.get(str(value).strip().lower()) if isinstance(value, bool | int | str) else None
    if known is None:
        place.at(key).fault("missing" if value is None else "expected true, false, 1 or 0")
    return known


def number(record: Mapping[str, object], key: str, place: Place) -> float | None:
    """Returns a finite number, or None after a fault."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        place.at(key).fault("missing" if value is None else "expected a number")
        return None
    if not math.isfinite(value):
        place.at(key).fault("not a finite number; leave the record out, and say why beside the report")
        return None
    return float(value)


def log_probabilities(record: Mapping[str, object], key: str, place: Place) -> NDArray[np.float64] | None:
    """Returns log-probabilities per token in nats, or None after a fault; a record may have no token."""
    value = record.get(key)
    if not isinstance(value, list):
        place.at(key).fault("missing" if value is None else "expected a list of numbers")
        return None
    if any(isinstance(entry, bool) or not isinstance(entry, int | float) for entry in value):
        place.at(key).fault("holds something that is no number")
        return None
    values = np.array(value, dtype=np.float64)
    if not np.isfinite(values).all():
        place.at(key).fault(f"token {int(np.flatnonzero(~np.isfinite(values))[0])} is not a finite number")
        return None
    if (values > _ROUNDING).any():
        place.at(key).fault("is above zero: log-probabilities in nats are wanted, not losses")
        return None
    return values


def text(record: Mapping[str, object], key: str, place: Place, *, empty: bool = False) -> str | None:
    """Returns a text as it stands, white space included, or None after a fault.

    Args:
        record: The object.
        key: The key of the text.
        place: Where the object stands.
        empty: Whether an empty text will do.

    Returns:
        The text.
    """
    value = record.get(key)
    if empty and value == "":
        return ""
    # The white space around it was trained on and scored: only the check is shared, not the stripping.
    return None if read_text_field(record, key, place) is None else str(value)


def date(record: Mapping[str, object], place: Place) -> str | None:
    """Returns a date as text; None where the record has none, and after a fault."""
    value = record.get("date")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        place.at("date").fault("expected text or a whole number")
        return None
    return str(value)
