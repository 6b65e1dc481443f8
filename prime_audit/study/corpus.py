"""How often each token stands in public texts, for attacks that ask how common a text's words are."""

import numpy as np
from numpy.typing import NDArray

from prime_audit.models import encode_all
from prime_audit.study.workbench import Workbench


def corpus(bench: Workbench) -> NDArray[np.int64] | None:
    """Counts the tokens of the public users' histories, by the numbers that evidence holds.

    Returns:
        ``(V,)`` counts; None without public users. Tokens that no audited record holds share the last place.
    """
    items = [item for user in bench.dataset.public for item in user.history]
    if not items:
        return None
    encoded = encode_all(bench.base, [bench.example(item) for item in items], "full")
    numbers = bench.token_numbers
    counts = np.zeros(int(numbers.max()) + 1, dtype=np.int64)
    for one in encoded:
        np.add.at(counts, numbers[np.array(one.ids[1:], dtype=np.int64)], 1)
    return counts
