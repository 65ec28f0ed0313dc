"""What the package registers: every component can be made, and its examples are what the kit expects."""

import subprocess
import sys

import pytest

import invcore
from invcore_mri import _examples
from invcore_mri._plugin import COMPONENTS


def test_all_are_found_by_name():
    names = {(c.kind, c.name) for c in invcore.components() if c.name.startswith("mri.")}
    assert names == {(c.kind, c.name) for c in COMPONENTS}


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: c.name)
def test_examples_are_instances_of_their_target(component, tmp_path):
    target = invcore.get(component.kind, component.name)
    examples = getattr(_examples, component.examples.partition(":")[2])()
    assert examples and all(isinstance(label, str) for label in examples)
    for example in examples.values():
        if component.kind == "reader":
            path = example(tmp_path)
            assert target().sniff(path)
            acquisition = invcore.read(path)
            assert acquisition.metadata["format"] == component.name
            assert (
                tuple(acquisition.y.shape[-len(acquisition.physics.range.shape) :])
                == acquisition.physics.range.shape
            )
        else:
            assert isinstance(example, target)


def test_plugin_module_imports_nothing_heavy():
    code = "import sys, invcore_mri._plugin; print([m for m in ('torch', 'numpy', 'h5py', 'sigpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
