"""The command line: output, exit codes, and errors that are messages."""

import os
import signal
import subprocess
import sys
import types
import warnings

import pytest

import invcore
from invcore._registry.lazy import heavy_imports
from invcore.cli import _app, _new_plugin, main
from invcore.testing import CheckResult


def test_version_and_help(command):
    assert command("--version") == (0, f"invcore {invcore.__version__}\n", "")
    code, out, _ = command("--help")
    assert code == 0
    for name in _app.COMMANDS:
        assert name in out
    assert command()[0] in (0, 2)


def test_python_dash_m():
    done = subprocess.run([sys.executable, "-m", "invcore.cli", "--version"], capture_output=True, text=True)
    assert done.stdout == f"invcore {invcore.__version__}\n"


def test_every_command_is_a_light_function_with_help(command):
    for name in _app.COMMANDS:
        code, out, _ = command(name, "--help")
        assert code == 0
        assert f"invcore {name}" in out


def test_info_shows_the_shape_of_a_tensor(command):
    out = command("info", "quadratic")[1]
    assert "center: Tensor, shape (batch..., *domain.shape) = None" in out
    assert "rtol: float = 1e-06" in out


def test_wrong_usage(command):
    code, _, err = command("lst")
    assert (code, err) == (
        2,
        "error: there is no command 'lst'. Did you mean 'list'? `invcore --help` shows the commands.\n",
    )
    assert "Did you mean `invcore --version`?" in command("version")[2]
    assert "Did you mean `invcore list solver`?" in command("solvers")[2]
    assert f"`invcore reconstruct {__file__}`" in command(__file__)[2]
    assert command("list", "--nonsense")[0] == 2


def test_list(distributions, command):
    distributions.simple("invcore-acme", extra='summary="A thing.", tags=("odd",)')
    distributions.simple("invcore-other", "prior")
    code, out, err = command("list")
    assert code == 0
    assert err == "" or "cannot be used as is" in err  # a component whose package is not installed here
    assert out.splitlines()[0].split() == ["kind", "name", "plugin", "status", "summary"]
    (line,) = [line for line in out.splitlines() if "acme.thing" in line]
    assert line.split(maxsplit=4) == ["operator", "acme.thing", "invcore-acme", "available", "A thing."]
    assert "other.thing" not in command("list", "operator")[1]
    assert "other.thing" not in command("list", "--tag", "odd")[1]
    assert "acme.thing" not in command("list", "--plugin", "invcore-other")[1]
    assert command("list", "sampler")[1].startswith("No sampler is registered")
    assert "other.thing" not in command("list", "acme")[1]  # a plugin by its namespace
    assert "acme.thing" in command("list", "odd")[1]  # a word of name, summary or tags
    assert "convolution" in command("list", "blur")[1]  # a word of another library
    assert "No operator has the tag 'blur'. Tags in use: " in command("list", "operator", "--tag", "blur")[1]


def test_list_on_a_terminal_shows_every_name(distributions, command, monkeypatch):
    distributions.simple("invcore-acme", extra='summary="' + "long " * 40 + '"')
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "70")
    code, out, _ = command("list", "--plugin", "invcore-acme")
    assert code == 0
    assert "acme.thing" in out
    assert out.count("long") == 40


def test_list_of_an_unknown_kind(command):
    code, out, err = command("list", "operators")
    assert (code, out) == (1, "")
    assert err.startswith("error: there is no kind 'operators', no such plugin")
    assert "Did you mean 'operator'?" in err


def test_info(distributions, command):
    doc = "Parameters\n    ----------\n    sigma : float\n        Its ``width``,\n        in meters.\n"
    code = (
        f'class Thing:\n    """Thing.\n\n    {doc}    """\n'
        "    def __init__(self, *, size: int, sigma: float = 1.0):\n        pass\n"
    )
    distributions.simple("invcore-acme", code=code, extra='summary="A thing.", tags=("odd",)')
    distributions.simple("invcore-other", "prior", named="other.thing")
    code, out, _ = command("info", "acme.thing")
    assert code == 0
    assert out.splitlines() == [
        "operator acme.thing",
        "  A thing.",
        "  plugin     invcore-acme 1.0",
        "  target     invcore_acme.code:Thing",
        "  tags       odd",
        "  status     available",
        "  parameters",
        "    size: int",
        "    sigma: float = 1.0",
        "        Its width, in meters.",
        "  Python     invcore.operator('acme.thing', size=...)",
        '  shell      invcore run problem.toml, with [operator] name = "acme.thing"',
    ]
    code, out, _ = command("info", "invcore-acme")
    assert code == 0
    assert "plugin invcore-acme 1.0" in out
    assert "acme = invcore_acme._plugin" in out
    assert "acme.thing" in out
    assert command("info", "acme") == (0, out, "")
    assert command("info", "Acme.Thing")[1].startswith("operator acme.thing")
    code, _, err = command("info", "acme.thong")
    assert code == 1
    assert err.startswith(
        "error: no component and no plugin is called 'acme.thong'. Did you mean 'acme.thing'"
    )
    assert "Here it is called the operator 'convolution'." in command("info", "blur")[2]
    code, _, err = command("info", "acme.thing", "--kind", "prior")
    assert code == 1
    assert "'acme.thing' is an operator, not a prior" in err


def test_doctor_without_problems(distributions, command):
    distributions.simple("invcore-acme")
    code, out, _ = command("doctor")
    assert code == 0
    assert f"invcore {invcore.__version__}, plugin API {invcore.plugin.API_VERSION}" in out
    assert "acme = invcore_acme._plugin" in out
    assert out.endswith("\nNo problem found. `invcore doctor --deep` imports every component too.\n")


def test_doctor_deep_imports_every_component(distributions, command):
    distributions.simple("invcore-good")
    distributions.simple("invcore-bad", code="import no_such_package")
    distributions.simple("invcore-heavy", before="import numpy")
    code, out, _ = command("doctor")
    assert code == 0  # what only the import of a component can show
    code, out, _ = command("doctor", "--deep")
    assert code == 1
    assert "operator 'bad.thing' of plugin invcore-bad 1.0 could not be loaded" in out
    assert "import no_such_package" in out  # the plugin's own line, without those of the registry
    assert "_registry" not in out.partition("Traceback")[2].partition("ModuleNotFoundError")[0]
    assert "invcore_heavy._plugin imports numpy" in out
    assert "good.thing" not in out and "invcore_good._plugin imports" not in out


def test_doctor_names_two_distributions_with_one_entry_point(distributions, command):
    distributions.simple("invcore-acme")
    distributions.simple("invcore-other", entry="acme", named="acme.other")
    code, out, _ = command("doctor")
    assert code == 1
    assert "invcore-acme 1.0 and invcore-other 1.0 use one entry point, 'acme'" in out


def test_doctor_suggests_one_command_for_all_that_is_missing(distributions, command):
    distributions.simple("invcore-acme", extra='requires=("absent_a",)')
    distributions.simple("invcore-other", extra='requires=("absent_b",)')
    code, out, _ = command("doctor")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("All of these: ")]
    assert line.startswith("All of these: pip install ") and '"absent_a"' in line and '"absent_b"' in line


def test_check_notices_an_entry_module_that_is_heavy(distributions):
    distributions.simple("invcore-heavy", before="import numpy")
    distributions.simple("invcore-light")
    assert heavy_imports("invcore_heavy._plugin") == ("numpy",)
    assert heavy_imports("invcore_light._plugin") == ()
    assert heavy_imports("invcore._plugin") == ()


# -- errors -----------------------------------------------------------------------------------------


@pytest.fixture
def failing(monkeypatch):
    """Register a command ``fail`` that raises what the test puts in; as another module would."""
    module = types.ModuleType("invcore.cli._fail")

    def fail() -> None:
        """Fail."""
        raise module.error

    module.fail = fail
    monkeypatch.setitem(sys.modules, "invcore.cli._fail", module)
    monkeypatch.setitem(_app.COMMANDS, "fail", "_fail:fail")
    return module


@pytest.mark.parametrize(
    "error, code, message",
    [
        (invcore.DataError("scan.h5 is truncated."), 1, "error: scan.h5 is truncated.\n"),
        (
            FileNotFoundError(2, "No such file or directory", "scan.h5"),
            1,
            "error: No such file or directory: scan.h5\n",
        ),
        (PermissionError(13, "Permission denied"), 1, "error: Permission denied\n"),
        (OSError("disk full"), 1, "error: disk full\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_errors_are_messages_and_tracebacks_only_with_verbose(failing, command, error, code, message):
    failing.error = error
    assert command("fail") == (code, "", message)
    for words in (("fail", "-v"), ("fail", "--verbose")):
        got, out, err = command(*words)
        assert (got, out) == (code, "")
        assert err.startswith("Traceback (most recent call last)")
        assert err.endswith(message)


def test_warnings_are_messages(failing, command, monkeypatch):
    def fail(*, quiet: bool = False) -> None:
        """Fail."""
        warnings.warn("the axis is a guess", RuntimeWarning, stacklevel=1)

    monkeypatch.setattr(failing, "fail", fail)
    assert command("fail") == (0, "", "warning: the axis is a guess\n")
    assert command("fail", "--quiet") == (0, "", "")
    assert "test_cli.py" in command("fail", "-v")[2]


def test_other_exceptions_are_reported_as_defects(failing, command):
    failing.error = ZeroDivisionError("a bug")
    code, out, err = command("fail")
    assert (code, out) == (70, "")
    assert err.startswith("error: unexpected ZeroDivisionError: a bug.") and "--verbose" in err
    with pytest.raises(ZeroDivisionError):
        main(["fail", "--verbose"])


@pytest.mark.skipif(os.name == "nt", reason="signals and pipes of POSIX")
def test_a_closed_pipe_is_quiet():
    words = [sys.executable, "-m", "invcore.cli", "list"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(60) == 1


@pytest.mark.skipif(os.name == "nt", reason="signals and pipes of POSIX")
def test_ctrl_c_while_plugins_are_loaded(distributions):
    distributions.simple(
        "invcore-slow", before="import sys, time; print('loading', flush=True); time.sleep(60)"
    )
    path = os.pathsep.join([str(distributions.folder), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
    words = [sys.executable, "-m", "invcore.cli", "list"]
    pipe = subprocess.PIPE
    # a job in the background may have been told to ignore Ctrl-C, and its children would inherit that
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, env=env, text=True, preexec_fn=heed) as process:
        assert process.stderr.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "interrupted while plugin invcore-slow 1.0 was loaded\n"
        assert process.wait(60) == 130


# -- check ------------------------------------------------------------------------------------------


@pytest.fixture
def kit(monkeypatch):
    """Stand in for the conformance kit: the results of each component, by name."""
    import invcore.testing

    results = {}
    result = lambda name, status, message="": CheckResult(None, "tiny", name, status, message)
    results["acme.thing"] = [result("adjoint", "passed"), result("batch", "skipped", "no batch")]
    results["bad.thing"] = [
        result("adjoint", "failed", "A.H is 1.001 times the adjoint.\nSee there."),
        result("x", "passed"),
    ]
    results["none.thing"] = []
    monkeypatch.setattr(
        invcore.testing,
        "check_component",
        lambda item, select, limit, started: (r for r in results[item.name] if select(r.name)),
    )
    return results


def test_check(distributions, command, kit):
    distributions.simple("invcore-acme")
    assert command("check", "invcore-acme") == (
        0,
        "passed  operator acme.thing (2 checks, 0.0 s)\n1 component: 1 passed, 1 skipped\n",
        "",
    )
    assert command("check", "acme.thing")[0] == 0
    out = command("check", "-v", "acme.thing")[1]
    assert out.splitlines()[:3] == [
        "passed  operator acme.thing, example 'tiny': adjoint (0.00 s)",
        "skipped operator acme.thing, example 'tiny': batch (0.00 s)",
        "        no batch",
    ]


def test_check_that_fails(distributions, command, kit):
    distributions.simple("invcore-bad")
    code, out, _ = command("check", "bad.thing")
    assert code == 1
    assert out.splitlines() == [
        "failed  operator bad.thing, example 'tiny': adjoint (0.00 s)",
        "        A.H is 1.001 times the adjoint.",
        "        See there.",
        "1 component: 1 failed, 1 passed",
    ]


def test_check_stops_at_the_first_failure_and_selects(distributions, command, kit):
    distributions.simple("invcore-bad")
    assert command("check", "bad.thing", "-x")[1].endswith("1 component: 1 failed\n")
    code, out, _ = command("check", "bad.thing", "-k", "x y")
    assert (code, out) == (0, "passed  operator bad.thing (1 checks, 0.0 s)\n1 component: 1 passed\n")
    assert command("check", "bad.thing", "-k", "zzz")[0] == 1
    assert "--limit takes a number of seconds" in command("check", "bad.thing", "--limit", "-1")[2]


def test_check_that_ran_out_of_time_ends_with_code_1():
    """It still computes in a thread, which torch would turn into an abort of the process."""
    words = [sys.executable, "-m", "invcore.cli", "check", "fista", "--limit", "0.01", "-x"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    assert "not finished after 0.01 s" in done.stdout


def test_check_of_nothing_is_no_success(distributions, command, kit):
    distributions.simple("invcore-none")
    code, out, _ = command("check", "none.thing")
    assert code == 1
    assert "nothing to check" in out
    code, _, err = command("check", "nowhere")
    assert code == 1
    assert err.startswith("error: no component and no plugin is called 'nowhere'.")


# -- new-plugin -------------------------------------------------------------------------------------


def test_new_plugin_writes_a_package(tmp_path, command):
    code, out, _ = command("new-plugin", str(tmp_path / "some" / "invcore-soft-xray"), "--name", "soft_xray")
    assert code == 0
    assert "invcore check invcore-soft-xray" in out
    folder = tmp_path / "some" / "invcore-soft-xray"
    made = sorted(str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file())
    assert made == [
        ".github/workflows/tests.yml",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "src/invcore_soft_xray/__init__.py",
        "src/invcore_soft_xray/_examples/__init__.py",
        "src/invcore_soft_xray/_examples/operator.py",
        "src/invcore_soft_xray/_plugin.py",
        "src/invcore_soft_xray/operator.py",
        "tests/test_conformance.py",
        "tests/test_operator.py",
    ]
    for name in made:
        text = (folder / name).read_text()
        assert "acme" not in text
        for word in ("@hookimpl", "@property", "@parametrize", "checkout@v", "setup-python@v"):
            text = text.replace(word, "")
        assert "@" not in text
    assert 'name = "invcore-soft-xray"' in (folder / "pyproject.toml").read_text()
    assert (
        'namespace("soft_xray", "invcore_soft_xray")'
        in (folder / "src/invcore_soft_xray/_plugin.py").read_text()
    )
    assert not list(folder.parent.glob(".*"))


def test_new_plugin_takes_its_name_from_the_folder(tmp_path, command, monkeypatch):
    (tmp_path / "invcore-lab").mkdir()  # an empty folder is fine
    monkeypatch.chdir(tmp_path / "invcore-lab")
    assert command("new-plugin", ".")[0] == 0
    assert (tmp_path / "invcore-lab" / "src" / "invcore_lab").is_dir()


@pytest.mark.parametrize("name", ["Lab", "1lab", "my-lab", "a__b", "lab/..", "invcore", "core", ""])
def test_new_plugin_refuses_a_bad_name(tmp_path, command, name):
    code, _, err = command("new-plugin", str(tmp_path / "x"), f"--name={name}")
    assert code == 1
    assert err.startswith("error: ")
    assert not list(tmp_path.iterdir())


def test_new_plugin_refuses_a_folder_with_something_in_it(tmp_path, command):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("")
    for target in ("lab", "file"):
        code, _, err = command("new-plugin", str(tmp_path / target), "--name", "lab")
        assert code == 1
        assert "is not an empty folder" in err
    assert (tmp_path / "lab" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("exists", [False, True])
def test_new_plugin_leaves_nothing_half_written(tmp_path, command, monkeypatch, error, exists):
    rename, done = _new_plugin.os.rename, []

    def fail(source, target):
        if len(done) == exists:
            raise error
        done.append(rename(source, target))

    if exists:
        (tmp_path / "lab").mkdir()
    monkeypatch.setattr(_new_plugin.os, "rename", fail)
    code, _, err = command("new-plugin", str(tmp_path / "lab"))
    assert code in (1, 130)
    assert "Traceback" not in err
    assert len(done) == exists
    assert list(tmp_path.rglob("*")) == ([tmp_path / "lab"] if exists else [])
