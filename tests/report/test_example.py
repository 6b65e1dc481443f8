"""The report that the repository shows holds no text of anybody and nothing of the machine that made it."""

import re

from prime_audit.config import load_study
from prime_audit.study.inputs import load_dataset
from tests.support import ROOT

PAGE = (ROOT / "reports" / "example" / "report.html").read_text(encoding="utf-8")


def test_it_is_a_report_of_the_bundled_study() -> None:
    assert "<h1>Privacy audit: quickstart</h1>" in PAGE
    assert "run <b>complete</b>" in PAGE
    assert "prime-audit evaluate quickstart" in PAGE
    assert "The largest figure of this run" in PAGE


def test_it_names_no_path_of_a_machine() -> None:
    assert not re.search(r"/(?:home|root|tmp|work|Users|usr|var|opt|mnt)\b", PAGE)
    assert "file:" not in PAGE


def test_it_holds_no_text_of_the_users() -> None:
    dataset = load_dataset(load_study("quickstart"))
    texts = [text for user in dataset.users for item in (*user.history, *user.queries)
             for text in (item.input, item.answer) if text]  # fmt: skip
    assert len(texts) > 1000
    assert not [text for text in texts if text in PAGE]
