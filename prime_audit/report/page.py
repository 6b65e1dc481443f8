"""The sections of the page, in the order in which they are read."""

from prime_audit.report.sections import (
    attacks,
    controls,
    coverage,
    designs,
    distributions,
    gate,
    linkage,
    methods,
    plane,
    premise,
    provenance,
    roc,
    search,
    threat,
    users,
    verdict,
)

SECTIONS = (
    (verdict.view, "verdict", "Verdict"),
    (coverage.view, "coverage", "Coverage"),
    (plane.view, "plane", "Utility against leakage"),
    (gate.view, "gate", "Gate"),
    (methods.view, "methods", "Methods"),
    (attacks.view, "attacks", "Attacks side by side"),
    (linkage.view, "linkage", "Whose modules are in it"),
    (controls.view, "controls", "Controls"),
    (roc.view, "roc", "Attacks in detail"),
    (distributions.view, "distributions", "Attack scores"),
    (search.view, "search", "Search and merge weights"),
    (premise.view, "premise", "Does lower similarity mean less leakage?"),
    (designs.view, "designs", "Swaps, pools and doses"),
    (users.view, "users", "Person by person"),
    (threat.view, "threat", "What was assumed, and what this cannot say"),
    (provenance.view, "provenance", "Provenance and how to reproduce"),
)
