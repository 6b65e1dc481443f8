"""The options of `prime-audit attack`: what does not belong together ends with 2, and nothing is written."""

from pathlib import Path

import pytest

from prime_audit.cli.app import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def end(*args: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["attack", *map(str, args)])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def scores(home: Path, header: str = "id,member,score") -> Path:
    path = home / "scores.csv"
    cells = ",".join(["-1"] * (header.count(",") - 1))
    path.write_text(f"{header}\na,1,{cells}\nb,0,{cells}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        ((), ["nothing to attack was named", "give --scores FILE, or --base MODEL"]),
        (("--base", "tiny"), ["--members and --nonmembers missing"]),
        (("--members", "a", "--nonmembers", "b"), ["--base missing"]),
        (("--base", "tiny", "--direction", "lower"), ["--direction is about a file of scores"]),
        (("--scores", "scores.csv", "--base", "tiny"), ["--scores needs no model: --base"]),
        (("--scores", "scores.csv"), ["--direction higher, or --direction lower", "never guessed"]),
        (("--scores", "scores.csv", "--direction", "up"), ["'up' is not one of", "higher", "lower"]),
        (("--scores", "nowhere.csv", "--direction", "lower"), ["nowhere.csv: cannot be read"]),
        (("--kind", "linkage"), ["--adapter and --pool missing", "one candidate adapter per sub-folder"]),
        (("--kind", "linkage", "--adapter", "a"), ["--pool missing"]),
        (("--kind", "linkage", "--adapter", "a", "--base", "tiny"), ["--base cannot be used"]),
        (("--kind", "linkage", "--adapter", "a", "--pool", "p"), ["a: there is no adapter_config.json"]),
        (("--pool", "p", "--scores", "scores.csv"), ["--pool belongs to --kind linkage"]),
        (("--kind", "magic"), ["'magic' is not one of", "membership", "linkage"]),
    ],
    ids=[
        "nothing",
        "no lists",
        "no base",
        "no scores",
        "both",
        "no direction",
        "unknown direction",
        "no file",
        "linkage of nothing",
        "no pool",
        "linkage with a base",
        "no adapter",
        "pool of scores",
        "unknown kind",
    ],
)
def test_options_that_cannot_be(
    args: tuple[str, ...], parts: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores(home)
    assert end(*args) == 2
    said = capsys.readouterr()
    for part in parts:
        assert part in said.err.replace("\n", " "), said.err
    assert said.out == ""
    assert [path.name for path in home.iterdir()] == ["scores.csv"]


def test_log_probabilities_have_a_direction(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = scores(home, "id,member,logp")
    for direction in ("lower", "higher"):
        assert end("--scores", path, "--direction", direction) == 2
        said = capsys.readouterr().err
        assert "where higher means a member: the direction is known" in said
        assert "leave out --direction" in said
    assert end("--scores", path, "--out", home / "out") == 0
    assert "1 member and 1 non-member," in capsys.readouterr().err
    assert (home / "out" / "report.html").exists()


def test_people_who_were_drawn_are_no_records_that_were_drawn(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "users.csv"
    path.write_text("id,user,member,score\na,u,1,1\nb,v,0,0\n", encoding="utf-8")
    assert end("--scores", path, "--direction", "higher", "--randomised") == 2
    assert "nobody has records in both lists" in capsys.readouterr().err
    assert not (home / "reports").exists()


def test_the_run_of_a_study_is_not_overwritten(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = home / "run"
    run.mkdir()
    (run / "config.resolved.yaml").write_text("name: mine\n")
    assert end("--scores", scores(home), "--direction", "higher", "--out", run) == 2
    assert "holds the run of a study" in capsys.readouterr().err
    assert end("--scores", scores(home), "--direction", "higher", "--out", home / "scores.csv") == 2
    assert "this is a file" in capsys.readouterr().err


def test_the_summary_names_no_utility_and_columns_left_aside(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end("--scores", scores(home, "id,member,score,grade"), "--direction", "higher") == 0
    said = capsys.readouterr().err
    assert "note: columns that mean nothing here were left aside: grade" in said
    assert "utility" not in said
    assert (home / "reports" / "attack" / "results.json").exists()
