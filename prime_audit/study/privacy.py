"""Metrics of what the training of the sharers' modules promises."""

from prime_audit.modules import Guarantee
from prime_audit.results import Metric, N
from prime_audit.study.units import Outputs


def privacy_metrics(outputs: Outputs) -> list[Metric]:
    """Collects the guarantees that travel with the sharers' modules.

    Args:
        outputs: Outputs of the units; those of ``train/<sharer>`` hold ``privacy`` where it was asked for.

    Returns:
        ``epsilon.training`` per sharer and, without a user, the largest one at the largest δ, which holds
        for every sharer; empty if the modules were trained plainly.
    """
    found = {
        name.removeprefix("train/"): Guarantee.model_validate(output["privacy"])
        for name, output in outputs.items()
        if name.startswith("train/") and "privacy" in output
    }
    if not found:
        return []
    worst = max(found.values(), key=lambda guarantee: guarantee.epsilon)
    worst = worst.model_copy(update={"delta": max(guarantee.delta for guarantee in found.values())})
    overall = _metric(worst, None).model_copy(update={"n": N(users=len(found))})
    return [overall, *(_metric(guarantee, user) for user, guarantee in found.items())]


def _metric(guarantee: Guarantee, user: str | None) -> Metric:
    return Metric(
        id="epsilon.training",
        subject="sharer",
        user=user,
        slice={"delta": guarantee.delta, "unit": guarantee.unit},
        value=guarantee.epsilon,
        reason=guarantee.covers,
        unit="epsilon",
    )
