"""Gradients of records' losses over the parameters of a deployed adapter."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from prime_audit.errors import ModelError
from prime_audit.models import Encoded, Example, LanguageModel, encode_all, fits_or_says
from prime_audit.modules.lora import LoraModule, check_fit, linear_layer, low_rank_hook
from prime_audit.modules.training import mean_loss


@fits_or_says("the gradient of one record", "set a smaller training.max_tokens, or fewer run.workers")
def gradient_norms(
    lm: LanguageModel,
    examples: Sequence[Example],
    loss: str,
    module: LoraModule,
    *,
    per_layer: bool = False,
    end: bool = True,
) -> NDArray[np.float64]:
    """Returns the norm of each record's gradient over the adapter's factors A and B (arXiv 2402.17012).

    The factors are those of the file that is deployed: a merge exported at the rank of all its sharers
    together has the gradients of that file's factors, and the same change written as other factors has
    others. There is no dropout, and records are taken one by one, so that none sees another.

    Args:
        lm: The base.
        examples: N records.
        loss: ``answer`` or ``full``: whose mean negative log-likelihood per token is derived.
        module: The adapter.
        per_layer: Whether layers are kept apart.
        end: Whether the end-of-sequence token counts. Of somebody else's texts nobody knows whether they were
            trained with one; where they were not, it would have the largest gradient of every record.

    Returns:
        ``(N,)``, or ``(N, layers)`` in the order of the module's layers; Euclidean norms.

    Raises:
        ModelError: The adapter belongs to another base, or a gradient is not finite.
    """
    check_fit(module, lm.model)
    # The probe must run on the bare model, and once.
    _ = lm.plain_head
    norms = np.zeros((len(examples), len(module.factors)))
    with ExitStack() as hooks:
        pairs = []
        for name, (a, b) in module.factors.items():
            first, second = (part.detach().to(lm.device).clone().requires_grad_() for part in (a, b))
            pairs.append((first, second))
            hook = low_rank_hook(first, second, module.scaling)
            handle = linear_layer(lm.model, name).register_forward_hook(hook)
            hooks.callback(handle.remove)
        leaves = [part for pair in pairs for part in pair]
        for place, encoded in enumerate(_encoded(lm, examples, loss, end)):
            with torch.enable_grad():
                found = torch.autograd.grad(mean_loss(lm, [encoded]), leaves)
            squares = torch.stack([part.double().square().sum() for part in found])
            norms[place] = squares.reshape(-1, 2).sum(dim=1).sqrt().cpu().numpy()
    if not np.isfinite(norms).all():
        place = int(np.flatnonzero(~np.isfinite(norms).all(axis=1))[0])
        raise ModelError(
            f"model {lm.name}: the gradient of record {place} is not finite",
            hint="use float32 (model.dtype); if that does not help, the weights or a module are damaged",
        )
    return norms if per_layer else np.sqrt((norms**2).sum(axis=1))


def _encoded(lm: LanguageModel, examples: Sequence[Example], loss: str, end: bool) -> list[Encoded]:
    encoded = encode_all(lm, examples, loss)
    if end:
        return encoded
    # Texts are tokenized so that they cannot hold it: a last token that is one was appended.
    return [
        replace(one, scored=(*one.scored[:-1], False)) if one.ids[-1] == lm.eos_id else one for one in encoded
    ]
