"""Which imports are allowed, as contracts for import-linter: ``python tools/import_contracts.py`` prints
them.

``nox -s lint`` checks them. The packages are found, not listed; the layers of core are `LAYERS`, which the
architecture page draws.
"""

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]

LAYERS = (
    ("cli",),
    ("run",),
    ("report",),
    ("io",),
    ("samplers",),
    ("solvers", "uncertainty"),
    ("_problem",),
    ("priors", "models"),
    ("denoisers", "_weights", "losses", "_cramer_rao"),
    ("_physics",),
    ("noises",),
    ("fidelities",),
    ("nn",),
    ("operators",),
    ("metrics", "_krylov", "_variation", "datasets", "generators"),
    ("_registry",),
    ("plugin",),
    ("_fit",),
    ("spaces",),
    ("_finite",),
    ("_value", "_files", "_device"),
    ("_errors", "_contract"),
)
"""The rooms of core, top to bottom. A room imports only what is below it, and not its neighbors."""


PERMITTED = {
    "invcore_radio": ["invcore_radio._data.visibilities -> invcore_radio._operators.interferometer"],
}
"""Imports against the grain, made when called: ``Visibilities.physics()`` builds its own operator."""


def packages(root: Path = ROOT) -> list[str]:
    """Import names of the packages of the repository, core first."""
    return sorted(path.name for path in root.glob("packages/*/src/invcore*"))


def private_modules(root: Path = ROOT) -> list[str]:
    """Modules of core that only core may import: the outermost with an underscore."""
    src = root / "packages/core/src"
    found = set()
    for path in (src / "invcore").rglob("*.py"):
        parts = path.relative_to(src).with_suffix("").parts
        private = [i for i, part in enumerate(parts) if part.startswith("_") and part != "__init__"]
        if private and part_of_public(parts[: private[0]]):
            found.add(".".join(parts[: private[0] + 1]))
    return sorted(found - {"invcore.cli.__main__"})


def part_of_public(parts: tuple[str, ...]) -> bool:
    """Return whether these are names of public modules."""
    return not any(part.startswith("_") for part in parts)


def contracts(root: Path = ROOT) -> list[dict[str, object]]:
    """One table a contract, as import-linter reads them."""
    _, *domains = packages(root)
    found: list[dict[str, object]] = [
        {
            "name": "Imports between the rooms of core point down",
            "type": "layers",
            "containers": ["invcore"],
            "layers": [" | ".join(layer) for layer in LAYERS],
        },
        {
            "name": "Nothing imports the conformance kit but the command that runs it",
            "type": "forbidden",
            "source_modules": [f"invcore.{room}" for layer in LAYERS for room in layer],
            "forbidden_modules": ["invcore.testing", "invcore._examples"],
            "ignore_imports": ["invcore.cli._check -> invcore.testing"],
            "allow_indirect_imports": True,
        },
        {
            "name": "The circles of core: operators and priors know their algebra",
            "type": "acyclic_siblings",
            "ancestors": ["invcore"],
            "ignore_imports": [
                "invcore.operators._base -> invcore.operators._algebra",
                "invcore.priors._base -> invcore.priors._sum",
            ],
        },
        {
            "name": "Packages import only public modules of core",
            "type": "forbidden",
            "source_modules": domains,
            "forbidden_modules": private_modules(root),
            "allow_indirect_imports": True,
        },
        {
            "name": "Packages do not import each other",
            "type": "independence",
            "modules": [name for name in domains if name != "invcore_diffusion"],
        },
        {
            "name": "Diffusion is built on learning, and on no other package",
            "type": "forbidden",
            "source_modules": ["invcore_diffusion"],
            "forbidden_modules": [n for n in domains if n not in ("invcore_diffusion", "invcore_learning")],
        },
        {
            "name": "No package imports diffusion",
            "type": "forbidden",
            "source_modules": [name for name in domains if name != "invcore_diffusion"],
            "forbidden_modules": ["invcore_diffusion"],
        },
    ]
    for name in domains:
        rooms = sorted(path.parent.name for path in root.glob(f"packages/*/src/{name}/_*/__init__.py"))
        readers = [room for room in rooms if room not in ("_io", "_examples")]
        found += [
            {
                "name": f"No circles in {name}",
                "type": "acyclic_siblings",
                "ancestors": [name],
                "ignore_imports": PERMITTED.get(name, []),
            }
        ]
        if "_io" not in rooms:
            continue
        found += [
            {
                "name": f"Only _examples and _demo import _io of {name}",
                "type": "forbidden",
                "source_modules": [f"{name}.{room}" for room in readers],
                "forbidden_modules": [f"{name}._io"],
            },
        ]
    return found


def text(root: Path = ROOT) -> str:
    """The whole configuration as TOML."""
    lines = [
        "[tool.importlinter]",
        f"root_packages = {json.dumps(packages(root))}",
        "exclude_type_checking_imports = true",
    ]
    for table in contracts(root):
        lines += ["", "[[tool.importlinter.contracts]]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(text(), end="")
