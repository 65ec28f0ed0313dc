"""Plugins that hang, exit, print or leave threads: a script that does not use them never notices."""

import os
import subprocess
import sys

import pytest

import invcore
from invcore._registry.registry import Registry

HOSTILE = {
    "waits": "import time; time.sleep(600)",
    "hook-waits": """
        import time
        from invcore.plugin import hookimpl

        @hookimpl
        def invcore_components():
            time.sleep(600)
        """,
    "kills": "import os; os._exit(9)",
    "exits": "raise SystemExit(3)",
    "cannot-be-printed": """
        class Odd(BaseException):
            def __str__(self):
                raise SystemExit(3)

        raise Odd
        """,
    "prints": "print('buy now')",
    "leaves-a-thread": "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()",
    "patches": "import invcore; invcore.solver = invcore.get = None",
}
FATAL = {"waits", "hook-waits", "kills", "leaves-a-thread", "patches"}


@pytest.fixture
def run(distributions):
    """Install one good plugin and hostile ones, and run Python there; returns the finished process."""

    def run(code, hostile, *words):
        distributions.simple("invcore-good")
        for name in hostile:
            distributions.install(f"invcore-{name}", HOSTILE[name])
        path = os.pathsep.join([str(distributions.folder), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": path},
        )

    return run


READER = """
    import torch
    from invcore import Acquisition, Physics, Reader
    from invcore.noises import NoNoise
    from invcore.operators import Identity

    class Thing(Reader):
        def sniff(self, path):
            return path.suffix == ".good"

        def _read(self, path, options):
            return Acquisition(y=torch.ones(1, 2, 2), physics=Physics(Identity((1, 2, 2)), NoNoise()))
"""
COMMAND = "from invcore.cli import main; main()"


def test_a_plugin_that_is_not_used_is_not_loaded(run):
    code = """if True:
        import sys, threading
        import invcore

        assert type(invcore.solver("cg")).__name__ == "ConjugateGradient"
        assert invcore.get("operator", "good.thing").__name__ == "Thing"
        assert [c.name for c in invcore.components(plugin="invcore-good")] == ["good.thing"]
        assert invcore.get("operator", "good.thing", plugin="invcore-good")
        try:
            invcore.operator("mask", nonsense=1)
        except invcore.ParameterError:
            pass
        from invcore.io import provenance
        assert "invcore-waits" in provenance()["plugins"]
        print(threading.active_count())
    """
    done = run(code, HOSTILE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


@pytest.mark.parametrize("words", [("info", "good.thing"), ("list", "--plugin", "invcore-good")])
def test_commands_about_one_plugin_load_no_other(run, words):
    done = run(COMMAND, HOSTILE, *words)
    assert done.returncode == 0, done.stderr
    assert "good.thing" in done.stdout
    assert "buy now" not in done.stdout + done.stderr


def test_a_thread_that_hangs_in_a_plugin_blocks_no_other_thread(run):
    code = """if True:
        import threading, time
        import invcore

        threading.Thread(target=invcore.components, daemon=True).start()
        time.sleep(0.5)
        print(invcore.get("operator", "good.thing").__name__, invcore.components(plugin="invcore")[0].kind)
    """
    done = run(code, {"waits"})
    assert done.stdout == "Thing operator\n", done.stderr


def test_listing_survives_what_can_be_survived(run):
    done = run(COMMAND, set(HOSTILE) - FATAL, "list", "operator")
    assert done.returncode == 0, done.stderr
    assert "good.thing" in done.stdout
    assert "buy now" not in done.stdout
    assert "buy now" in done.stderr
    assert "invcore-cannot-be-printed, invcore-exits, invcore-prints: run `invcore doctor`" in done.stderr


def test_a_file_is_read_although_other_plugins_and_readers_fail(run, distributions):
    code = "class Thing:\n    def sniff(self, path):\n        raise SystemExit(4)\n"
    distributions.simple("invcore-exiting-reader", "reader", code=code)
    distributions.simple("invcore-sound", "reader", code=READER)
    (distributions.folder / "scan.good").write_text("data")
    code = f"import invcore; print(invcore.read({str(distributions.folder / 'scan.good')!r}).y.sum().item())"
    done = run(code, set(HOSTILE) - FATAL)
    assert (done.returncode, done.stdout) == (0, "buy now\n4.0\n"), done.stderr
    assert (
        "reader exiting-reader.thing (invcore-exiting-reader) could not be asked: SystemExit: 4"
        in done.stderr
    )


def test_a_mistyped_name_does_not_wait_for_a_plugin_that_hangs(distributions, monkeypatch):
    distributions.simple("invcore-slow", before="import time; time.sleep(30)")
    distributions.simple("invcore-good")
    monkeypatch.setattr(Registry.soon, "__defaults__", (0.3,))
    with pytest.raises(invcore.UnknownComponentError) as error:
        invcore.operator("good.thong")
    assert "Did you mean 'good.thing'?" in str(error.value)
    assert "Plugin invcore-slow 1.0 takes long to load, and was not waited for." in str(error.value)


def test_a_plugin_that_looks_up_while_it_is_imported_has_failed_for_everybody(distributions, command):
    distributions.simple("invcore-eager", before="import invcore; invcore.components()")
    for words in (("doctor",), ("list",), ("doctor",)):
        _, out, err = command(*words)
        assert "eager.thing" not in out
        assert (
            ("components were looked up while" in out) if words == ("doctor",) else ("invcore-eager" in err)
        )
