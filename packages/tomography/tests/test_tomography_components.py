"""What the package registers: every component can be made, and its examples are what the kit expects."""

import subprocess
import sys

import pytest

import invcore
from invcore_tomography import _examples
from invcore_tomography._plugin import COMPONENTS


def test_all_are_found_by_name():
    names = {(c.kind, c.name) for c in invcore.components() if c.name.startswith("tomography.")}
    assert names == {(c.kind, c.name) for c in COMPONENTS}


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: c.name)
def test_examples_are_instances_of_their_target(component, tmp_path):
    for needed in component.requires:
        pytest.importorskip(needed)
    target = invcore.get(component.kind, component.name)
    examples = getattr(_examples, component.examples.partition(":")[2])()
    assert examples and all(isinstance(label, str) for label in examples)
    for example in examples.values():
        if component.kind != "reader":
            assert isinstance(example, target)


def test_plugin_module_imports_nothing_heavy():
    heavy = ("torch", "numpy", "h5py", "numba", "scipy", "matplotlib")
    code = f"import sys, invcore_tomography._plugin; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
