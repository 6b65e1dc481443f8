"""What a method must hand back, so that what is audited is what is deployed."""

import math

from prime_audit.config import MethodSettings
from prime_audit.errors import ConfigError
from prime_audit.personalize.types import Method, Personalisation, TargetContext


def carry_out(method: Method, context: TargetContext, settings: MethodSettings) -> Personalisation:
    """Runs a method for one target and checks what it hands back.

    Args:
        method: The method.
        context: What it may see of the target.
        settings: Its settings.

    Returns:
        The personalisation.

    Raises:
        ConfigError: See `checked`.
    """
    return checked(method, context, method.personalise(context, settings))


def checked(method: Method, context: TargetContext, found: Personalisation) -> Personalisation:
    """Refuses a personalisation that an audit would misread.

    Args:
        method: The method that made it.
        context: What the method was given.
        found: What it handed back.

    Returns:
        The personalisation, unchanged.

    Raises:
        ConfigError: Named by the method: it deploys an adapter and is not registered as audited, falls back
            without saying so, merges users it was not given, or mixes up models, weights and points.
    """
    fault = _fault(method, context, found)
    if fault:
        raise ConfigError(
            f"method '{method.kind}' for {context.target.id}: {fault}",
            hint="mend the method; it breaks its contract",
        )
    return found


def _fault(method: Method, context: TargetContext, found: Personalisation) -> str:
    if found.adapter is not None:
        allowed = {context.target.id, *context.pooled} if method.subject == "target" else set(context.sharers)
        if method.subject is None:
            return f"it deploys an adapter, but nobody audits the family '{method.family}'; use merging"
        if found.on_pretrained or found.reverted:
            return "it deploys an adapter and says that it deploys none"
        if strangers := sorted(set(found.sources) - allowed):
            return f"it merges {', '.join(strangers)}, whom it was not given"
        if not found.sources or len(found.sources) != len(set(found.sources)):
            return "it must name each user whose module is in the adapter, once"
    elif method.subject is not None and not found.reverted:
        return "it deploys no adapter and does not say that it fell back to the base (reverted)"
    elif found.sources or found.weights:
        return "it names sources or weights of an adapter that it does not deploy"
    if len(found.sources) != len(found.weights) or not all(map(math.isfinite, found.weights)):
        return "it needs one finite weight per source"
    if found.chosen is not None and not 0 <= found.chosen < len(found.points):
        return "the chosen point is not among its points"
    return ""
