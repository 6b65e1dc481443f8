"""Figures of the canary arm over a whole method: what ordinary answers and samples hold, and its size."""

from collections import defaultdict

import numpy as np

from attacks.statistics import Estimate, success_rate
from prime_audit.data import TOKEN_CAP
from prime_audit.results import Metric, N
from prime_audit.study.canary_metrics import figure
from prime_audit.study.control_names import OWN_MODULE
from prime_audit.study.sampled_secrets import sampled_of
from prime_audit.study.units import Outputs
from prime_audit.study.workbench import Workbench


def discovery_metrics(bench: Workbench, outputs: Outputs) -> list[Metric]:
    """Collects what merges of planted modules say of others when they are used as they are meant to be.

    Args:
        bench: The workbench.
        outputs: Outputs of all units; those of ``expose/<method>/<target>`` are read.

    Returns:
        ``extraction.discovery`` per method: the share of the inserted canaries, of sharers who are in a
        merge, that an answer to one of its target's queries holds.
    """
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for name, output in outputs.items():
        if not name.startswith("expose/") or not output.get("answers"):
            continue
        known = found[name.split("/")[1]]
        for canary in (c for user in output["users"] for c in bench.canaries.canaries[user]):
            if canary.inserted:
                known[canary.id] = known.get(canary.id, False) or canary.id in output["discovered"]
    metrics = []
    for method, known in found.items():
        said = np.array(list(known.values()), dtype=np.bool_)
        n = N(attempted=len(said), scored=len(said), failed=0, members=len(said))
        rate = success_rate(said, unit="inserted canaries")
        metrics.append(figure("extraction.discovery", method, {}, rate, n, "probability"))
    return metrics


def precision_metrics(bench: Workbench, outputs: Outputs) -> list[Metric]:
    """Collects how much of what looks like a secret in sampled text is one.

    Args:
        bench: The workbench.
        outputs: Outputs of all units; the evidence of ``expose/<method>/...`` is read.

    Returns:
        ``pii.precision`` per method: the share of the different secrets in a model's sampled texts that were
        planted, over all its models; nothing where no text was sampled.
    """
    settings = bench.config.audit.canaries
    found: dict[str, list[float]] = defaultdict(list)
    for name, output in outputs.items():
        if settings and settings.samples and name.startswith("expose/") and output["users"]:
            parts = bench.parts(name)
            drawn = (sampled_of(parts, kind) for kind in settings.types)
            found[name.split("/")[1]] += [hit for one in drawn if one for hit in one.hits.tolist()]
    metrics = []
    for method, hits in found.items():
        rate = success_rate(np.array(hits, dtype=np.float64), unit="finds in the sampled texts")
        n = N(attempted=len(hits), scored=len(hits), failed=0)
        metrics.append(figure("pii.precision", method, {}, rate, n, "probability"))
    return metrics


def planted_share(outputs: Outputs) -> float | None:
    """Returns the largest share of a sharer's trained tokens that is planted; None where nothing is."""
    shares = [output["planted_share"] for output in outputs.values() if "planted_share" in output]
    return max(shares, default=None)


def share_metrics(outputs: Outputs) -> list[Metric]:
    """Collects how much of the training is canaries.

    Args:
        outputs: Outputs of all units; those of ``expose/control-own-module/<sharer>`` are read.

    Returns:
        ``canaries.token_share``, the largest of any sharer's trained tokens; nothing if nothing is planted.
    """
    share = planted_share(outputs)
    if share is None:
        return []
    carriers = sum("planted_share" in output for output in outputs.values())
    found = figure(
        "canaries.token_share",
        OWN_MODULE,
        {},
        Estimate(share, None, crowded(share)),
        N(users=carriers),
        "share",
    )
    return [found.model_copy(update={"direction": None})]


def crowded(share: float | None) -> str:
    """Says that planted secrets are more of the training than an audit of epsilon keeps to, or nothing."""
    if share is None or share <= TOKEN_CAP:
        return ""
    return (
        f"planted secrets are up to {100 * share:.0f} % of a sharer's trained tokens, above the "
        f"{100 * TOKEN_CAP:.0f} % at which they hardly disturb one another"
    )
