"""The public names, written down in ``api_surface.json``.

After a deliberate change: ``python tests/test_api_surface.py`` rewrites the file; review the difference.
"""

import importlib
import json
import pkgutil
from pathlib import Path

RECORD = Path(__file__).with_name("api_surface.json")
TOP = sorted(path.name for path in Path(__file__).parents[1].glob("packages/*/src/invcore*"))


def surface():
    """Public modules and the names each offers: ``__all__`` where stated, else public names defined there."""
    found = {}
    for top in TOP:
        package = importlib.import_module(top)
        modules = [top]
        for info in pkgutil.walk_packages(package.__path__, top + "."):
            if not any(part.startswith("_") for part in info.name.split(".")):
                modules.append(info.name)
        for name in modules:
            module = importlib.import_module(name)
            names = getattr(module, "__all__", None)
            if names is None:
                names = [n for n, v in vars(module).items() if getattr(v, "__module__", None) == name]
            found[name] = sorted(n for n in names if not n.startswith("_"))
    return found


def test_public_names_are_the_recorded_ones():
    recorded, actual = json.loads(RECORD.read_text()), surface()
    flat = [{f"{m}.{n}" for m, names in s.items() for n in (*names, "")} for s in (recorded, actual)]
    vanished, unrecorded = sorted(flat[0] - flat[1]), sorted(flat[1] - flat[0])
    assert not vanished, f"public names vanished: {vanished}"
    assert not unrecorded, (
        f"new public names; record them with `python tests/test_api_surface.py`: {unrecorded}"
    )


def test_every_public_name_resolves():
    for module, names in surface().items():
        for name in names:
            getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    RECORD.write_text(json.dumps(surface(), indent=1) + "\n")
