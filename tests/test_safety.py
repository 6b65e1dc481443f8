"""Nothing in the packages can run foreign code, reach the network, or touch a global random state."""

import ast
from pathlib import Path

import pytest

from tests.support import PACKAGES, ROOT

SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = {
    # They unpickle, or store by pickling.
    *("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "diskcache"),
    # Their processes talk to each other in pickles.
    *("multiprocessing", "concurrent.futures"),
    # An archive says itself where its files go.
    *("zipfile", "tarfile"),
    # They reach the network.
    *("requests", "urllib.request", "http.client", "socket", "httpx", "aiohttp", "ftplib"),
}
CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen"),
    *("torch.load", "torch.hub.load", "pandas.read_pickle", "pd.read_pickle"),
    *("shutil.unpack_archive", "os.popen2", "os.spawnl", "os.execv"),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.load_all"),
    *(
        "random.seed",
        "random.random",
        "random.shuffle",
        "np.random.seed",
        "np.random.rand",
        "np.random.shuffle",
    ),
}
# `prime-audit data fetch` downloads, and nothing else does.
NETWORK = {"prime_audit/data/download.py": {"urllib.request", "http.client"}}
KEYWORDS = {"shell", "trust_remote_code", "allow_pickle"}


def faults(path: Path) -> list[str]:
    found = []
    allowed = NETWORK.get(path.relative_to(ROOT).as_posix(), set()) if path.is_relative_to(ROOT) else set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = {a.name for a in node.names} - allowed
            found += [f"{node.lineno}: imports {name}" for name in sorted(names & MODULES)]
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            found.append(f"{node.lineno}: imports from {node.module}")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS:
                found.append(f"{node.lineno}: calls {name}")
            found += [
                f"{node.lineno}: {keyword.arg} is not the constant False"
                for keyword in node.keywords
                if keyword.arg in KEYWORDS
                and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
            ]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unsafe_is_called(path: Path) -> None:
    assert faults(path) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import tarfile",
        "import multiprocessing",
        "shutil.unpack_archive('x')",
        "from pickle import loads",
        "eval('1')",
        "subprocess.run('ls', shell=True)",
        "torch.load('x')",
        "load('x', trust_remote_code=True)",
        "load('x', trust_remote_code=flag)",
        "np.load('x', allow_pickle=True)",
    ],
)
def test_the_check_sees_what_it_looks_for(code: str, tmp_path: Path) -> None:
    path = tmp_path / "unsafe.py"
    path.write_text(code, encoding="utf-8")
    assert len(faults(path)) == 1


def test_only_the_command_line_prints() -> None:
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if "cli" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert printing == []


def test_only_the_command_that_fetches_can_reach_the_network() -> None:
    importing = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in {"prime_audit.data.download"}
    }
    assert importing == {"prime_audit/data/fetch.py"}
    text = "from prime_audit.data import fetch"
    users = [path for path in SOURCES if text in path.read_text(encoding="utf-8")]
    assert [path.relative_to(ROOT).as_posix() for path in users] == ["prime_audit/cli/data.py"]
