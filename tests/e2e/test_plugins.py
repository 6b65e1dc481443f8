"""Methods and attacks of other packages, installed as a user installs them; the code is the README's."""

import json
import re
from pathlib import Path

import pytest

from prime_audit import load_results
from tests.support import ROOT, Finished, run_cli, write_study

SECTION = (
    (ROOT / "README.md").read_text(encoding="utf-8").split("\n## A method or an attack of your own\n")[1]
)
METHOD, ATTACK = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)[:2]
MARK = "from pathlib import Path; Path(__file__).with_suffix('.imported').touch()\n"


def install(site: Path, package: str, group: str, names: dict[str, str], code: str) -> Path:
    """Put a package of one module with entry points where Python finds it; returns the mark of its import."""
    info = site / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8"
    )
    entries = "".join(f"{name} = {module}\n" for name, module in names.items())
    (info / "entry_points.txt").write_text(f"[prime_audit.{group}]\n{entries}", encoding="utf-8")
    module = next(iter(names.values()))
    (site / f"{module}.py").write_text(MARK + code, encoding="utf-8")
    return site / f"{module}.imported"


def validate(home: Path, **sections: object) -> Finished:
    return run_cli("validate", write_study(home, **sections), home=home, packages=[home / "site"])


def refused(finished: Finished, *parts: str) -> None:
    assert finished.code == 2, finished.stderr
    for part in parts:
        assert re.search(part, finished.stderr), f"{part!r} is not in:\n{finished.stderr}"
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("code", [METHOD, ATTACK], ids=["method", "attack"])
def test_the_readme_needs_no_more_than_fifteen_lines(code: str) -> None:
    assert len([line for line in code.splitlines() if line.strip()]) <= 15


def test_a_method_and_an_attack_of_other_packages_run_in_a_study(tmp_path: Path) -> None:
    site = tmp_path / "site"
    marks = [
        install(site, "close-by", "methods", {"closest": "closest_plugin"}, METHOD),
        install(site, "worst", "attacks", {"worst-token": "worst_plugin"}, ATTACK),
    ]
    assert validate(tmp_path).code == 0
    for what, name, package in (("methods", "closest", "close-by"), ("attacks", "worst-token", "worst")):
        listed = run_cli("list", what, "--json", home=tmp_path, packages=[site])
        (row,) = [row for row in json.loads(listed.stdout) if row["id"] == name]
        assert row["source"] == f"package {package}"
    assert not any(mark.exists() for mark in marks), "imported although no study names it"

    study = write_study(
        tmp_path,
        methods=["base", "uniform", {"kind": "closest", "id": "near", "scale": 0.25}],
        audit={"permutations": 1000, "controls": ["base"], "attacks": ["loss", "worst-token"]},
    )
    finished = run_cli("evaluate", study, home=tmp_path, packages=[site])
    assert finished.code == 0, finished.stderr
    assert "Warning" not in finished.stderr
    assert all(mark.exists() for mark in marks)
    results = load_results(tmp_path / "reports" / "small")
    (method,) = [method for method in results.methods if method.id == "near"]
    assert (method.kind, method.family, method.params) == ("closest", "merging", {"scale": 0.25})
    (search,) = [search for search in results.search if search.method == "near"]
    assert search.weights == (0.25, 0.0)
    (attack,) = [attack for attack in results.attacks if attack.id == "worst-token"]
    assert (attack.source, attack.threat_model, attack.needs) == ("this page", "A2", ("logp",))
    aucs = [m for m in results.metrics if (m.id, m.method, m.attack) == ("mia.auc", "near", "worst-token")]
    assert aucs
    assert aucs[0].status == "ok"

    again = run_cli("evaluate", study, home=tmp_path, packages=[site])
    assert again.code == 0, again.stderr
    assert re.search(r"\d+ finished units are reused", again.stderr)
    refused(
        validate(tmp_path, methods=["base", {"kind": "closest", "sclae": 1.0}]),
        r"methods\[1\]: closest: unknown key 'sclae'",
        "did you mean 'scale'",
    )


@pytest.mark.parametrize(
    ("group", "name", "sections"),
    [
        ("methods", "uniform", {}),
        ("attacks", "loss", {"audit": {"attacks": ["loss"]}}),
    ],
)
def test_a_package_cannot_take_a_built_in_name(
    group: str, name: str, sections: dict[str, object], tmp_path: Path
) -> None:
    mark = install(tmp_path / "site", "grabber", group, {name: "grabbing_plugin"}, "")
    refused(validate(tmp_path, **sections), f"'{name}' is built in", "package grabber", "rename|uninstall")
    assert not mark.exists()


def test_a_method_registered_under_a_built_in_name_is_refused_with_both(tmp_path: Path) -> None:
    code = METHOD.replace('"closest"', '"uniform"')
    install(tmp_path / "site", "sly", "methods", {"sly": "sly_plugin"}, code)
    refused(
        validate(tmp_path, methods=["base", "sly"]),
        "two methods are called 'uniform'",
        r"prime_audit\.personalize\.averaging\.uniform and sly_plugin\.closest",
    )


def test_an_attack_registered_under_a_built_in_name_is_refused_with_both(tmp_path: Path) -> None:
    code = ATTACK.replace('"worst-token"', '"loss"')
    install(tmp_path / "site", "sly", "attacks", {"sly": "sly_plugin"}, code)
    refused(
        validate(tmp_path, audit={"attacks": ["sly"]}),
        r"two attacks are called 'loss': attacks\.likelihood\.mean_loss and sly_plugin\.worst_token",
    )


def test_two_packages_with_one_name_are_both_named(tmp_path: Path) -> None:
    for package in ("first", "second"):
        install(tmp_path / "site", package, "methods", {"closest": f"{package}_plugin"}, METHOD)
    refused(
        validate(tmp_path, methods=["base", "closest"]),
        "several packages bring 'closest'",
        "package first",
        "package second",
    )


def test_a_package_that_fails_on_import_is_named(tmp_path: Path) -> None:
    install(
        tmp_path / "site", "broken", "methods", {"broken": "broken_plugin"}, "raise RuntimeError('oh no')\n"
    )
    refused(
        validate(tmp_path, methods=["base", "broken"]),
        "'broken' of package broken cannot be imported: RuntimeError: oh no",
        "mend or uninstall",
    )


def test_an_entry_point_that_registers_nothing_is_named(tmp_path: Path) -> None:
    install(tmp_path / "site", "empty", "methods", {"empty": "empty_plugin"}, "")
    refused(validate(tmp_path, methods=["base", "empty"]), "'empty' registers no method of that name")
