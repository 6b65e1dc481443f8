"""Numbers and verdicts in plain words; HTML, Markdown and the terminal use the same ones."""

from prime_audit.report.source import Source
from prime_audit.results import CI, Finding, Method, Metric, Subject

DASH = "\u2013"
MINUS = "\u2212"
ALPHA = "\u03b1"
TIMES = "\u00d7"
WHO = {
    "sharer": "the people who shared their modules",
    "target": "the person it was made for",
    "base-user": "the people whose data adapted the base",
    None: "the people whose records were tested",
}
FINDING_WORDS = {
    "leak": ("▲", "Leak"),
    "none detected": ("○", "None detected"),
    "difference": ("≠", "Difference"),
    "inconclusive": ("?", "Inconclusive"),
}
ALARM_P = 0.001


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with a fixed count of decimals.

    Args:
        value: The number.
        digits: Decimals.

    Returns:
        The text; a dash for None.
    """
    return DASH if value is None else f"{value:.{digits}f}"


def signed(value: float, digits: int = 3) -> str:
    """Write a number with its sign.

    Args:
        value: The number.
        digits: Decimals.

    Returns:
        The text, with a true minus sign.
    """
    return f"{value:+.{digits}f}".replace("-", MINUS)


def interval(ci: CI | None, digits: int = 3) -> str:
    """Write an interval as "low to high".

    Args:
        ci: The interval.
        digits: Decimals.

    Returns:
        The text; a dash for None.
    """
    return (
        DASH if ci is None else f"{number(ci.low, digits)} to {number(ci.high, digits)}".replace("-", MINUS)
    )


def cell(metric: Metric | None, digits: int = 3, *, plus: bool = False) -> str:
    """Write a metric: its value and, on a second line, its interval; or why there is none.

    Every output turns the line break into a space, except the tables of the page.

    Args:
        metric: The metric.
        digits: Decimals.
        plus: Whether to show the sign of a positive number.

    Returns:
        The text; a dash where the run holds no such metric.
    """
    if metric is None:
        return DASH
    if metric.value is None:
        return f"{metric.status}\n({' '.join(metric.reason.removeprefix(f'{metric.status}: ').split())})"
    text = signed(metric.value, digits) if plus else number(metric.value, digits)
    return text if metric.ci is None else f"{text}\n({interval(metric.ci, digits)})"


def labelled(method: str, subject: Subject | None, several: bool) -> str:
    """Name a method, with whom a figure is about where its figures are about several.

    Args:
        method: The method's id.
        subject: Whom the figure is about.
        several: Whether there are figures about others too.

    Returns:
        For example "pooled (targets)".
    """
    return f"{method} ({subject}s)" if several and subject else method


def family(method: Method) -> str:
    """Name a method's family, and for a control the method that it belongs to.

    Args:
        method: The method.

    Returns:
        For example "merging" or "control of prime".
    """
    of = method.params.get("of")
    return f"control of {of}" if method.family == "control" and of else method.family


def p_value(p: float | None) -> str:
    """Write a p-value.

    Args:
        p: The probability.

    Returns:
        For example "p = 0.021" or "p < 0.001".
    """
    if p is None:
        return "p not available"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def finding_sentence(source: Source, finding: Finding) -> str:
    """Say what a finding means, with its numbers and its limits.

    Args:
        source: The run.
        finding: One of its findings.

    Returns:
        One to three sentences.
    """
    if finding.attack in source.planted:
        return _planted_sentence(finding)
    attack = finding.attack or source.primary
    figures = _figures(source, finding, attack)
    if finding.verdict == "leak":
        metric = source.metric("mia.auc", finding.method, attack, subject=finding.subject)
        pairs = "" if metric is None or metric.value is None else _pairs(metric)
        return (
            f"Whoever holds what is deployed can tell trained-on records from held-out ones. {pairs}{figures}"
        )
    if finding.verdict == "none detected":
        seen = finding.could_have_seen
        what = "difference" if source.observed else "leak"
        power = (
            f"How strong a {what} would have been seen is not known."
            if seen is None
            else f"An AUC of {number(seen, 2)} would have been seen; a weaker {what} could have gone "
            "unnoticed."
        )
        over = "what the texts alone show" if source.observed else "guessing"
        return f"No increase over {over} was detected. {power} {figures}"
    if finding.verdict == "difference":
        return f"The two lists differ; this design cannot tell a leak from any other difference. {figures}"
    return f"Nothing can be said: {finding.reason or 'no reason was recorded'}."


def _planted_sentence(finding: Finding) -> str:
    """Say what was found of planted secrets; the finding's reason holds the figures."""
    if finding.verdict == "inconclusive":
        return f"Nothing can be said of planted secrets: {finding.reason}."
    p = "" if finding.p is None else f" ({p_value(finding.p)})"
    said = f"{finding.reason[:1].upper()}{finding.reason[1:]}{p}."
    if finding.verdict != "none detected" or finding.could_have_seen is None:
        return said
    return (
        f"{said} It would have been seen if a planted one outranked a never-planted one "
        f"{round(100 * finding.could_have_seen)} times in 100."
    )


def _pairs(metric: Metric) -> str:
    return (
        f"Shown one trained-on and one held-out record, the attack {metric.attack} picks the right one "
        f"{round(100 * (metric.value or 0))} times in 100; guessing gives 50. "
    )


def _figures(source: Source, finding: Finding, attack: str | None) -> str:
    """The figures in brackets: of the finding's attack, of the primary one, and the largest."""
    parts = aucs(source, finding.method, attack, subject=finding.subject)
    if finding.p is not None or not source.observed:
        parts.insert(1, p_value(finding.p))
    return f"({'; '.join(parts)})"


def aucs(
    source: Source, method: str, attack: str | None, digits: int = 3, subject: Subject | None = None
) -> list[str]:
    """Write the AUCs that sum up the attacks on a method, each with the attack that reaches it.

    The primary attack was named beforehand, so its figure needs no allowance for the choice; the largest one
    says how much there is to find. Neither may stand for the other.

    Args:
        source: The run.
        method: The method's id.
        attack: The attack that a finding names, which comes first.
        digits: Decimals.
        subject: Whom the figures are about.

    Returns:
        One text for each attack that is the named one, the primary one or the one with the largest AUC.
    """
    largest = source.largest(method, subject)
    order = dict.fromkeys((attack, source.primary, None if largest is None else largest.attack))
    texts = []
    for name in order:
        metric = source.metric("mia.auc", method, name, subject=subject)
        if name is None or (metric is None and name != attack):
            continue
        text = f"{'primary ' if name == source.primary else ''}attack {name}"
        if metric is not None:
            text += f": AUC {metric.status if metric.value is None else number(metric.value, digits)}"
        if metric is largest and name not in (attack, source.primary):
            # No interval: it would have to allow for the choice among all attacks.
            text = f"largest: {text}"
        elif metric is not None and metric.ci is not None:
            text += f", {100 * metric.ci.level:g} % interval {interval(metric.ci, digits)}"
        texts.append(text + over(source, metric))
    return texts


def over(source: Source, metric: Metric | None) -> str:
    """Say where a figure is over fewer people than its method's others.

    Args:
        source: The run.
        metric: The figure.

    Returns:
        For example ", over 2 of 12 people"; nothing where it is over as many.
    """
    part = None if metric is None else source.share(metric)
    return "" if part is None else f", over {part[0]} of {part[1]} people"


def largest_auc(source: Source, finding: Finding) -> float:
    """Return what findings are ranked by.

    Args:
        source: The run.
        finding: One of its findings.

    Returns:
        The largest AUC of any attack on the finding's method; -1 where there is none, or it is about planted
        secrets.
    """
    if finding.attack in source.planted:
        return -1.0
    metric = source.largest(finding.method, finding.subject)
    return -1.0 if metric is None or metric.value is None else metric.value


def control_behaviour(source: Source, control: Method) -> tuple[str, str]:
    """Say what a control must show and whether it did.

    Args:
        source: The run.
        control: A method of the family "control".

    Returns:
        What is expected, and one of "as expected", "NOT as expected", "measured", "not measured".
    """
    if control.id.endswith("without-sharer"):
        finding = next(iter(source.on_records(control.id)), None)
        seen = finding is not None and finding.p is not None
        return "shows what is not learnt from the sharer's module", "measured" if seen else "not measured"
    if source.observed:
        return _observed_behaviour(source, control)
    must_leak = control.id.endswith("own-module")
    expected = (
        "must leak (shows that the attacks work)" if must_leak else "must show nothing (shows a fair design)"
    )
    finding = next(iter(source.on_records(control.id)), None)
    metric = source.metric("mia.auc", control.id, control_attack(source, control))
    if must_leak and finding is not None and finding.verdict != "inconclusive":
        good = finding.verdict == "leak"
    elif not must_leak and finding is not None and finding.p is not None:
        good = finding.p >= ALARM_P
    elif metric is None or metric.value is None:
        return expected, "not measured"
    elif must_leak:
        good = metric.ci is not None and metric.ci.low > 0.5
    else:
        good = metric.value == 0.5 if metric.ci is None else metric.ci.low <= 0.5 <= metric.ci.high
    return expected, "as expected" if good else "NOT as expected"


def control_attack(source: Source, control: Method) -> str | None:
    """Name the attack whose figure stands for a control.

    Args:
        source: The run.
        control: A method of the family "control".

    Returns:
        The primary attack; for the control that sees no model, its own id among the attacks.
    """
    return source.blind if control.kind == source.blind else source.primary


def _observed_behaviour(source: Source, control: Method) -> tuple[str, str]:
    """Where lists are compared, a control is what the findings are set against, and nothing is expected."""
    attacks = (control_attack(source, control), *(attack.id for attack in source.attacks))
    figures = (source.metric("mia.auc", control.id, attack) for attack in attacks)
    seen = any(metric is not None and metric.value is not None for metric in figures)
    expected = "shows what tells the lists apart without what is audited"
    return expected, "measured" if seen else "not measured"


def unexpected_controls(source: Source) -> tuple[str, ...]:
    """List the controls that did not behave.

    Args:
        source: The run.

    Returns:
        Their ids.
    """
    return tuple(
        control.id
        for control in source.controls
        if control_behaviour(source, control)[1] == "NOT as expected"
    )
