"""One registry in a process, and the plugins that tests add to it for a while."""

import sys
import threading

import pytest

import invcore
from invcore._registry import registry as _registry
from invcore.plugin import Component
from invcore.testing import temporary_plugin


def names():
    return [item.name for item in invcore.components()]


# -- one registry -----------------------------------------------------------------------------------


def test_threads_share_one_registry_and_load_a_plugin_once(distributions):
    distributions.simple(
        "invcore-acme", before="import sys; sys.loaded.append(1); import time; time.sleep(0.1)"
    )
    sys.loaded = []
    barrier, found = threading.Barrier(8), []

    def look():
        barrier.wait()
        found.append((_registry.registry(), invcore.get("operator", "acme.thing")))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.loaded == [1]
    del sys.loaded
    assert len(set(found)) == 1


def test_a_plugin_that_looks_up_while_it_is_loaded(distributions):
    distributions.simple("invcore-acme", before="import invcore; invcore.components()")
    with pytest.raises(invcore.PluginLoadError, match="must only return Components"):
        invcore.components(plugin="invcore-acme")


# -- temporary plugins ------------------------------------------------------------------------------


def test_temporary_plugin(distributions):
    component = Component("prior", "tmp.counter", "collections:Counter", examples="collections:OrderedDict")
    before = names()
    with temporary_plugin([component], name="invcore-tmp", version="3") as plugin:
        assert plugin.components == (component,)
        assert invcore.prior("tmp.counter") == {}
        assert invcore.components(plugin="invcore-tmp")[0].version == "3"
        invcore.refresh()
        assert "tmp.counter" in names()
    assert names() == before


def test_temporary_plugins_nest_and_conflict(distributions):
    component = Component("prior", "tmp.counter", "collections:Counter")
    with temporary_plugin([component], name="one"):
        with temporary_plugin([component], name="two"), pytest.raises(invcore.AmbiguousComponentError):
            invcore.prior("tmp.counter")
        assert invcore.prior("tmp.counter") == {}


def test_temporary_plugin_from_a_module(distributions):
    distributions.write(
        "loose.py",
        """
        from invcore.plugin import Component, hookimpl
        @hookimpl
        def invcore_components():
            return [Component("prior", "loose.thing", "builtins:dict")]
        """,
    )
    import loose

    with temporary_plugin(loose, name="invcore-loose"):
        assert invcore.prior("loose.thing") == {}


def test_a_bad_temporary_plugin_raises_or_is_remembered(distributions):
    bad = [Component("prior", "tmp.a", "m:a"), Component("prior", "else.b", "m:b")]
    with pytest.raises(invcore.PluginLoadError, match="namespace"), temporary_plugin(bad):
        pass
    with temporary_plugin(bad, raise_failures=False) as plugin:
        assert len(plugin.failures) == 1
        assert "tmp.a" in names()
