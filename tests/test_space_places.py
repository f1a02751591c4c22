"""`search_spaces/` is found wherever the program runs from, and the wheel holds what it should."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import autopeft
from autopeft.search.spaces import shipped_spaces
from autopeft.shipped import shipped_folder

pytestmark = pytest.mark.xdist_group("wheel")

ROOT = Path(__file__).parent.parent
SPACES = sorted(path.stem for path in (ROOT / "search_spaces").glob("*.yaml"))
SUITES = sorted((ROOT / "benchmarks" / "suites").glob("*.yaml"))
SHOW = "import autopeft\nfrom autopeft.search.spaces import shipped_spaces\n" + (
    "print(autopeft.__file__)\nfor name, path in shipped_spaces().items(): print(name, path)"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the checkout, with this environment's build tools."""
    source, target = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheel")
    _copy_checkout(source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target)]
    subprocess.run([*command, str(source)], check=True, capture_output=True, timeout=300)
    (built,) = target.glob("*.whl")
    return built


def _copy_checkout(target: Path) -> None:
    ignored = shutil.ignore_patterns(".*", "__pycache__", "runs", "dist", "build", "*.egg-info")
    shutil.copytree(ROOT, target, ignore=ignored, dirs_exist_ok=True)


def _shown(path: Path, cwd: Path) -> tuple[Path, dict[str, Path]]:
    """Return where a fresh process finds the package and the spaces, with `path` in front."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=cwd,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    package, *lines = done.stdout.splitlines()
    found = dict(line.split(" ", 1) for line in lines)
    return Path(package), {name: Path(file) for name, file in found.items()}


def test_editable_install_finds_the_spaces_beside_the_package() -> None:
    assert Path(autopeft.__file__).parent == ROOT / "autopeft"
    assert shipped_folder("search_spaces") == ROOT / "search_spaces"
    assert sorted(shipped_spaces()) == SPACES != []


@pytest.mark.slow
def test_checkout_finds_its_own_spaces(tmp_path: Path) -> None:
    _copy_checkout(tmp_path / "checkout")
    (tmp_path / "checkout" / "search_spaces" / "mine.yaml").write_text("methods:\n  lora:\n")
    package, found = _shown(tmp_path / "checkout", tmp_path)
    assert package == tmp_path / "checkout" / "autopeft" / "__init__.py"
    assert sorted(found) == sorted([*SPACES, "mine"])
    assert {path.parent for path in found.values()} == {tmp_path / "checkout" / "search_spaces"}


@pytest.mark.slow
def test_installed_wheel_finds_the_spaces_inside_the_package(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, timeout=120)
    package, found = _shown(site, tmp_path)
    assert package == site / "autopeft" / "__init__.py"
    assert sorted(found) == SPACES
    assert {path.parent for path in found.values()} == {site / "autopeft" / "search_spaces"}
    assert (site / "bin" / "autopeft").is_file()


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (scripts,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "autopeft = autopeft.cli:main" in archive.read(scripts).decode()
    held = {name for name in names if ".dist-info/" not in name}
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "autopeft").rglob("*.py")}
    spaces = {f"autopeft/search_spaces/{name}.yaml" for name in SPACES}
    page = ROOT / "autopeft" / "report" / "page"
    pages = [*page.glob("*.css"), *page.glob("*.js"), *(page / "templates").iterdir()]
    assets = {str(file.relative_to(ROOT)) for file in pages}
    suites = {f"autopeft/benchmarks/suites/{path.name}" for path in SUITES}
    data = {"autopeft/py.typed", "autopeft/search/other_tasks.json"}
    assert held == modules | spaces | suites | assets | data
