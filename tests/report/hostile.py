"""Texts that mean harm, and a run that is full of one."""

from collections.abc import Mapping

from prime_audit.gate import Against, Gate
from prime_audit.results import Results

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<svg onload=alert(1)>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)",
    "<!-- -->",
    "<![CDATA[ x ]]>",
    "]]></failure></testcase></testsuite>",
    "<?xml version='1.0'?>",
    "&lt;&amp;&#x0;&unknown;",
    "{{7*7}}",
    "{% raw %}{{ config }}",
    "${7*7} #{7*7}",
    "javascript:alert(1)",
    "[a](javascript:alert(1))",
    "![x](https://x.invalid/p.png)",
    "https://x.invalid @all #1",
    "| a | b |\n|---|---|",
    "`code` ``more``",
    "\\` \\| \\",
    "# head\n> quote\n- list",
    "<details><summary>x</summary>",
    "\u202e\u2066reversed\u2069",
    "line\u2028separator\u2029paragraph\x85next",
    "\x00\x01\x08\x0b\x0c\x1f\x7f",
    "\x1b[31mred\x1b]8;;https://x.invalid\x07link",
    "\ufffe\uffff\ud800",
    "=cmd|' /C calc'!A0",
    "a" * 1_000_000,
    "\r\n\r\nHTTP/1.1 200",
    "<a href='data:text/html,x'>",
    "</style><style>*{display:none}",
    "</title><svg onload=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{7*7}} {% for x in [] %} {{ results.__class__ }}",
    "<!-- --> ]]> <![CDATA[",
    "\u202egnp.exe\u2066 \u200f\u0645\u0631\u062d\u0628\u0627",
    "\x1b[31mred\x1b]0;title\x07 \x00\x08\x9b2J",
    "line\u2028break\u2029\nnext\r\nrow",
    "$\\frac{1}{0}$ $$ `code` | a | @everyone #1 https://x.invalid ![i](x)",
)
# A lone surrogate cannot stand in results.json: its schema refuses it.
IN_RESULTS = tuple(text for text in HOSTILE if "\ud800" not in text)


def with_text(results: Results, text: str) -> Results:
    """Put a text into every field of the results that takes free text, and leave out most figures."""

    def replaced(value: object, key: str) -> object:
        if isinstance(value, dict):
            return {name: replaced(entry, name) for name, entry in value.items()}
        if isinstance(value, list | tuple):
            return [replaced(entry, key) for entry in value]
        free = {"label", "reason", "threat_model", "source", "needs", "name", "task", "design", "adversary"}
        free |= {"of", "optimiser"}
        return text if key in {*free, "config_digest", "how", "part", "unit"} else value

    document = replaced(results.model_dump(mode="json"), "")
    assert isinstance(document, dict)
    gaps = [{"id": text, "reason": text}]
    coverage = {"requested": [text, text], "run": [], "failed": gaps, "skipped": gaps, "reverted": []}
    few = {"curves": document["curves"][:1], "distributions": [], "search": document["search"][14:16]}
    return Results.model_validate({**document, **few, "coverage": coverage}, strict=False)


def full_of(text: str, manifest: Mapping[str, object]) -> dict[str, object]:
    """A manifest with a text in place of everything it says, and in what a study may say of its report.

    Words that no cleaning takes away keep parts from being left out.
    """
    look = {"title": text, "organisation": f"{text} ltd", "notes": f"{text} noted"}
    return {**{key: text for key in manifest}, text: {text: [text]}, "study": {"report": look}}


def judged_with(text: str, gate: Gate) -> Gate:
    """A gate that has a text in every place that takes one."""
    rules = tuple(rule.model_copy(update={"reason": text, "test": text}) for rule in gate.rules)
    against = Against(digest="d", runs=5, reason=text, same_study=False, differs=(text,))
    return gate.model_copy(update={"rules": rules, "baseline": against})
