"""Development sessions: ``nox -l`` lists them, ``nox -s NAME`` runs one, ``nox`` runs lint, typing and tests.

Most sessions share one environment, ``.nox/dev``, because installing torch takes longer than most of
them run. Sessions that must prove something about a clean installation make their own.
"""

import hashlib
import os
import shutil
import sys
import tomllib
from pathlib import Path

import nox

nox.options.sessions = ["lint", "typing", "tests"]
nox.options.default_venv_backend = "virtualenv"

ROOT = Path(__file__).parent
ENVIRONMENTS = ROOT / ".nox"
PROJECTS = {path.parent.name: path for path in sorted(ROOT.glob("packages/*/pyproject.toml"))}
SOURCES = [f"packages/{name}/src" for name in PROJECTS]
TESTS = [f"packages/{name}/tests" for name in PROJECTS] + ["tests"]
CI = ("-c", "constraints/ci.txt")


def _metadata(name):
    return tomllib.loads(PROJECTS[name].read_text())["project"]


def _editable(names=PROJECTS, extras=("io",)):
    """pip's arguments for packages of this repository, editable, with those extras that they have."""
    for name in names:
        held = [extra for extra in extras if extra in _metadata(name).get("optional-dependencies", {})]
        yield from (
            "-e",
            f"{PROJECTS[name].parent}[{','.join(held)}]" if held else str(PROJECTS[name].parent),
        )


def _import_name(name):
    return "invcore" if name == "core" else f"invcore_{name}"


def _third_party(*names, extras=("io",)):
    """Requirements of the packages that are not packages of this repository."""
    found = set()
    for name in names:
        project = _metadata(name)
        optional = project.get("optional-dependencies", {})
        for requirement in project["dependencies"] + [r for extra in extras for r in optional.get(extra, [])]:
            if not requirement.startswith("invcore"):
                found.add(requirement)
    return sorted(found)


def _bin(environment, program="python"):
    return str(environment / ("Scripts" if sys.platform == "win32" else "bin") / program)


def _shared(session, name, *requirements, projects=PROJECTS, extras=("io",)):
    """Make or update the environment ``.nox/NAME``; skip the work when no requirement changed."""
    environment = ENVIRONMENTS / name
    inputs = [*PROJECTS.values(), *ROOT.glob("requirements/*.txt"), *ROOT.glob("constraints/*.txt")]
    digest = hashlib.sha256(repr((sys.version, requirements, *projects)).encode())
    for path in inputs:
        digest.update(path.read_bytes())
    stamp = environment / f"installed-{'-'.join(Path(r).stem for r in requirements) or 'only'}"
    if not (stamp.exists() and stamp.read_text() == digest.hexdigest()):
        packages = ", ".join(_metadata(project)["name"] for project in projects)
        print(
            f"Installing {packages} and what they need into {environment.relative_to(ROOT)} (torch is large)"
        )
        if not Path(_bin(environment)).exists():
            session.run(sys.executable, "-m", "virtualenv", "--quiet", str(environment), external=True)
        files = [argument for file in requirements for argument in ("-r", file)]
        arguments = [*_editable(projects, extras), *files, *CI]
        session.run(_bin(environment), "-m", "pip", "install", "-q", *arguments, external=True)
        stamp.write_text(digest.hexdigest())
    return environment


def _dev(session):
    return _shared(session, "dev", "requirements/dev.txt")


def _run(session, environment, module, *arguments, **options):
    session.run(_bin(environment), "-m", module, *arguments, external=True, **options)


@nox.session(venv_backend="none")
def quickstart(session):
    """Install core and MRI, simulate a scan, reconstruct it, and say where the report is."""
    environment = _shared(session, "dev", projects=("core", "mri"), extras=())  # `nox -s tests` adds the rest
    session.run(_bin(environment, "invcore"), "demo", "mri", "-o", "quickstart", external=True)
    print(f"\nThe report: {(ROOT / 'quickstart' / 'report.html').as_uri()}")


# One thread a process: several torch processes with several threads each slow each other down.
PYTEST = ("pytest", "-n", "auto", "--maxprocesses", "8", "--dist", "worksteal", "-m", "not slow")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


@nox.session(venv_backend="none")
def tests(session):
    """Run every package's tests, the tests that cross packages, and the examples in docstrings."""
    paths = session.posargs or ["--doctest-modules", "--ignore=tests/benchmarks", *TESTS, *SOURCES]
    _run(session, _dev(session), *PYTEST, *paths, env=ONE_THREAD)


@nox.session(venv_backend="none")
def slow(session):
    """Run the tests marked slow."""
    _run(session, _dev(session), "pytest", "-m", "slow", *(session.posargs or TESTS))


@nox.session(venv_backend="none")
def fuzz(session):
    """Read damaged files with every reader: nox -s fuzz -- --inputs 2000 radio.uvfits (tools/fuzz.py)."""
    data = os.environ.get("INVCORE_DATA")
    measured = ["--data", data] if data else []
    words = ["--keep", "fuzz-finds", *measured, *session.posargs]
    session.run(_bin(_dev(session)), "tools/fuzz.py", *words, external=True, env=ONE_THREAD)


@nox.session(reuse_venv=True)
def lint(session):
    """Check style, formatting, and that imports point down (tools/import_contracts.py)."""
    session.install("-q", "-r", "requirements/lint.txt")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    contracts = Path(session.create_tmp()) / "imports.toml"
    contracts.write_text(session.run("python", "tools/import_contracts.py", silent=True))
    session.run("lint-imports", "--no-cache", str(contracts), env={"PYTHONPATH": os.pathsep.join(SOURCES)})


@nox.session(venv_backend="none")
def typing(session):
    """Check types."""
    _run(session, _dev(session), "mypy", *session.posargs)


@nox.session(venv_backend="none")
def docs(session):
    """Build the site into docs/_build/html; warnings are errors."""
    environment = _shared(session, "dev", "requirements/dev.txt", "requirements/docs.txt")
    _run(
        session,
        environment,
        "sphinx",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "docs",
        "docs/_build/html",
        *session.posargs,
    )
    print(f"\nThe site: {(ROOT / 'docs/_build/html/index.html').as_uri()}")


def _build(session, *names):
    """Build wheel and sdist of the named packages into dist/."""
    session.install("-q", "build")
    for name in names:
        session.run("python", "-m", "build", "--outdir", "dist", str(PROJECTS[name].parent), silent=True)


def _install_from_wheels(session, *requirements, packages, constraints):
    """Third parties from the index first, then our own wheels with no index at all."""
    session.install("-q", *_third_party(*packages), *constraints)
    session.install("-q", "--no-index", "--find-links", "dist", *requirements)


@nox.session
def wheels(session):
    """Build everything, install it from the wheels alone, and use it."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    _build(session, *PROJECTS)
    extras = ",".join(name for name in PROJECTS if name != "core")
    _install_from_wheels(session, f"invcore[{extras},io]", packages=PROJECTS, constraints=CI)
    scratch = Path(session.create_tmp())
    with session.chdir(scratch):
        session.run(
            "python",
            "-c",
            f"import {', '.join(map(_import_name, PROJECTS))}; print(invcore.__version__, invcore.__file__)",
        )
        session.run("invcore", "list")
        session.run("invcore", "doctor")
        session.run("invcore", "check", "mri.fourier")
        session.run("invcore", "demo", "mri", "-o", "demo")
    session.install("-q", "pytest")
    session.run("pytest", "-q", "tests/test_wheels.py", env={"INVCORE_DIST": str(ROOT / "dist")})


@nox.session(venv_backend="none")
def coverage(session):
    """Run the tests and write which lines they reach into htmlcov/."""
    environment = _shared(session, "dev", "requirements/dev.txt", "requirements/coverage.txt")
    measured = [f"--cov={_import_name(name)}" for name in PROJECTS]
    paths = session.posargs or TESTS
    report = ("--cov-report=html", "--cov-report=term:skip-covered")
    _run(session, environment, *PYTEST, *measured, *report, *paths, env=ONE_THREAD)


@nox.session
def release(session):
    """Bump every version, close the changelog, build and check: nox -s release -- 0.2.0.

    Nothing is published and nothing committed: look at `git diff` and dist/, commit, tag, upload.
    """
    if len(session.posargs) != 1:
        session.error("name the version: nox -s release -- 0.2.0")
    session.run("python", "tools/bump_version.py", *session.posargs)
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    _build(session, *PROJECTS)
    session.install("-q", "twine")
    session.run("twine", "check", "--strict", *map(str, sorted((ROOT / "dist").iterdir())))


@nox.session
@nox.parametrize("package", list(PROJECTS))
def isolated(session, package):
    """Install the core alone, or the core and one package, and run that package's tests."""
    names = dict.fromkeys(["core", package])
    session.install("-q", "-r", "requirements/tests.txt", *_third_party(*names, extras=()), *CI)
    session.install("-q", "--no-deps", *(f"packages/{name}" for name in names))
    session.run(*PYTEST, f"packages/{package}/tests", *session.posargs, env=ONE_THREAD)


@nox.session
def minimums(session):
    """Run the tests with the lowest supported versions of the dependencies.

    torch comes from constraints/ci.txt unless INVCORE_MIN_TORCH=1: an old torch is a download of
    several gigabytes on Linux.
    """
    lines = [line for line in (ROOT / "constraints/min.txt").read_text().splitlines() if "==" in line]
    if os.environ.get("INVCORE_MIN_TORCH") != "1":
        lines = [line for line in lines if not line.startswith("torch==")]
        pinned = (ROOT / "constraints/ci.txt").read_text().splitlines()
        lines += [line for line in pinned if line.startswith("torch==")]
    constraints = Path(session.create_tmp()) / "constraints.txt"
    constraints.write_text("\n".join(lines) + "\n")
    session.install("-q", "-r", "requirements/tests.txt", *_third_party(*PROJECTS), "-c", str(constraints))
    session.install("-q", "--no-deps", *(f"packages/{name}" for name in PROJECTS))
    session.run("python", "-m", "pip", "freeze")
    session.run(*PYTEST, *(session.posargs or TESTS), env=ONE_THREAD)


@nox.session(venv_backend="none")
def bench(session):
    """Time our hot paths beside the peers' on the same work, and print the ratios.

    A peer that cannot be installed is left out. INVCORE_BENCH_PYTHONPATH names a folder put first on
    the module path, for a peer that needs help to import.
    """
    environment = _shared(session, "bench", "requirements/dev.txt", "requirements/bench.txt")
    python = _bin(environment)
    session.run(
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "-r",
        "requirements/peers.txt",
        external=True,
        success_codes=[0, 1],
    )
    path = os.environ.get("INVCORE_BENCH_PYTHONPATH")
    for script in session.posargs or [str(p) for p in sorted(ROOT.glob("tests/benchmarks/bench_*.py"))]:
        session.run(python, script, external=True, env={"PYTHONPATH": path} if path else None)
