"""Who is assumed to attack, what was compared, and what these figures cannot say."""

from prime_audit.core import plural
from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import WHO

_ADVERSARIES = {
    "A0": "whoever merges the modules and so holds each sharer's own module",
    "A1": "whoever holds the adapter file, as every target does",
    "A2": "whoever can query the deployed model and reads the probability of each token",
    "A3": "whoever can query the deployed model and reads only its text",
    "A4": "a sharer who knows their own module",
    "A5": "several targets together, or one who keeps successive releases",
}
_DESIGNS = {
    "prime-paper": (
        "This is the published protocol, kept for comparison. Members are all records of the sharers that "
        "are merged for a target, non-members all records of those that are not. Nobody flipped a coin.",
        "The merged sharers are those who resemble the target, so a model that merely fits the target ranks "
        "their records higher without any of them in it: see the row of the base. Members and non-members "
        "are different people, who differ in topic, length and style: see the blind control.",
        "A sharer counts as a member whatever the merge weight, zero and negative ones too. So no leak is "
        "stated here, only a difference between two groups of people.",
    ),
    "holdout": (
        "Before anything was trained, a fair coin was flipped for every record. Heads: the record was used "
        "(a member). "
        "Tails: it was held out and appears nowhere else: not in profiles, retrieval, selection, search or "
        "adaptation. This holds for every record that is audited.",
        "So the audited modules were made from about half of each history. Modules made from whole "
        "histories are other "
        "modules: both their utility and their leakage can differ.",
        "Members are compared only with held-out records of the same person, so that a difference between "
        "people cannot "
        "look like a leak.",
    ),
    "lists": (
        "Two lists of records were handed in: members, which the model was trained on, and non-members. "
        "Nobody flipped a coin for them, so they may differ in topic, length or date, and an attack that "
        "merely reads the text then tells them apart.",
        "So each attack is set against a control that sees the same texts and no model, record by record. "
        "What is left above it is called a difference between the two lists, never a leak: a model can know "
        "the topic of its members without having kept a single one.",
        "Scores without texts cannot be set against anything: there are numbers and no verdict.",
    ),
    "lists-randomised": (
        "Two lists of records were handed in, and whoever did so states that a fair coin decided for each "
        "record whether the model was trained on it. The figures rest on that statement; nothing here can "
        "check it, except that a control which sees the texts alone must not tell the lists apart.",
        "Membership is permuted, within each user where users are named, to see how often chance alone looks "
        "as strong.",
    ),
    "pool": (
        "An adapter was compared with modules that people have shared. Nothing was trained and no record was "
        "read: what is asked is whose module files were merged, and with which weights.",
    ),
}
_LIMITS = (
    "“None detected” means that no attack that was run saw more than chance. It does not mean that the "
    "modules are "
    "private: a stronger attack, more records or another adversary may find more.",
    "The interval “these modules” speaks about the modules that were audited. Only the interval “sharers in "
    "general” "
    "speaks about other people, and it needs at least 6 sharers.",
    "One run trains each module once: another training seed gives other modules.",
)
# Planted secrets say more than membership does, and still nothing of a real record.
_EXTRACTION = {
    True: "Whether a record was used is asked of real records; whether a text can be extracted is asked of "
    "made-up secrets, which stand in modules of their own.",
    False: "Whether a record was used is the question asked here. Whether its text can be extracted is "
    "another one.",
}
_LIST_LIMITS = (
    "“None detected” means that no attack that was run saw more than the texts alone or chance would show. "
    "It does not mean that the model is private: a stronger attack, more records or another adversary may "
    "find more.",
    "The intervals speak about this model and these records. Records of one person are not independent of "
    "each other; where no user is named they are taken to be.",
    "Whether a record was used is the question asked here. Whether its text can be extracted is another one.",
)
_POOL_LIMITS = (
    "That a module is in the merge says that its file was used. It does not say that anything of the "
    "person's data can be found in the adapter.",
    "A sharer who is not named may still be in it: with a small weight, behind a lossy merge, or beside a "
    "candidate that is nearly the same. Whoever is missing in the pool cannot be named at all.",
    "The intervals say how the weight varies between layers, not between trainings.",
)
_UNITS = {
    "example": "one record of a sharer, used or left out (a fact that stands in several records is protected "
    "less)",
    "user": "everything a sharer has, exchanged for anybody else's",
}

# A text of the page is cut at 500 characters, so each sentence group stands alone.
_NOT_PROMISED = (
    "The guarantee covers the training of the modules only. The selection of sharers by their histories and "
    "the adaptation of the base are not covered, nor is anything else that reads the histories, such as "
    "gates or calibration records.",
    "The noise was drawn from the study's seed, so that this run can be repeated: the guarantee holds only "
    "against somebody who does not know the seed.",
    "With such modules the control “own module” may show little, and then it no longer shows that the "
    "attacks work: the same study without sharers.privacy does.",
)


def view(source: Source) -> dict[str, object]:
    """Prepare the assumptions in plain words and the list of attacks.

    Args:
        source: The run.

    Returns:
        What the template shows.
    """
    metrics = source.results.metrics
    # The control that sees no model is nobody's attack.
    attackers = (metric.adversary for metric in metrics if metric.attack != source.blind)
    adversaries = sorted({adversary for adversary in attackers if adversary})
    subjects = sorted({metric.subject for metric in metrics if metric.subject})
    design = source.results.study.design
    rows = tuple(
        (attack.id, attack.threat_model, ", ".join(attack.needs), attack.source, str(attack.version))
        for attack in source.attacks
    )
    return {
        "adversaries": [(name, _ADVERSARIES.get(name, "not described here")) for name in adversaries],
        "pool": source.pool,
        "subjects": [WHO[subject] for subject in subjects],
        "design": design,
        "design_words": _DESIGNS.get(design, ("This report has no description of this design.",)),
        "limits": _limits(source),
        "set_aside": _set_aside(source) or _lists(source),
        "promise": _promise(source),
        "attacks": Table("Attacks", ("Attack", "Threat model", "Needs", "Source", "Version"), rows, text=4),
    }


def _limits(source: Source) -> tuple[str, ...]:
    if source.pool:
        return _POOL_LIMITS
    return _LIST_LIMITS if source.lists else (*_LIMITS, _EXTRACTION[bool(source.planted)])


def _set_aside(source: Source) -> str:
    """Says that records were kept out of the audit for the methods' own use; empty if none were."""
    design = source.manifest.get("design")
    count = design.get("calibration") if isinstance(design, dict) else None
    if not count:
        return ""
    return (
        f"{plural(int(count), 'record')} of the sharers were set aside before anything was trained: methods "
        "may use them to measure their own leak, whichever side of the coin they fell on, and the audit "
        "leaves them out."
    )


def _lists(source: Source) -> str:
    """Says who was compared with whom where lists were handed in, and which records blur the line."""
    design = source.manifest.get("design")
    if not source.lists or not isinstance(design, dict):
        return ""
    said = f"Members and non-members were compared {design.get('compared', 'in a way that is not recorded')}."
    if source.pool:
        said = f"The pool holds {plural(int(design.get('candidates') or 0), 'candidate')}."
    count = int(design.get("overlaps") or 0)
    near = f" {plural(count, 'non-member')} nearly repeat a member, which hides a leak." if count else ""
    notes = source.manifest.get("notes")
    more = "".join(f" {note[:1].upper()}{note[1:]}." for note in notes) if isinstance(notes, list) else ""
    return said + near + more


def _promise(source: Source) -> tuple[str, ...]:
    """What differentially private training of the sharers' modules promises; nothing if there was none."""
    metric = next((m for m in source.results.metrics if m.id == "epsilon.training" and m.user is None), None)
    if metric is None or metric.value is None:
        return ()
    part = metric.slice or {}
    protected = _UNITS.get(str(part.get("unit")), "a unit that this report does not know")
    return (
        f"The sharers' modules were trained with differential privacy: ε is at most {metric.value:.3g} at "
        f"δ = {part.get('delta', 'not recorded')}. What is protected is {protected}.",
        *_NOT_PROMISED,
    )
