"""``python -m invcore.testing._known`` writes ``invcore/_known.py`` from the installed first-party packages."""

from pathlib import Path

from .._registry import known as _known
from .._registry.registry import registry


def generate() -> dict[tuple[str, str], str]:
    """Return the table as it should be: installed first-party packages as registered, others as recorded."""
    plugins = registry().plugins
    loaded = {plugin.name for plugin in plugins if plugin.status == "loaded"}
    table = {key: owner for key, owner in _known.KNOWN.items() if owner not in loaded}
    for plugin in plugins:
        if plugin.name in _known.EXTRAS:
            table.update({(item.kind, item.name): plugin.name for item in plugin.components})
    return dict(sorted(table.items()))


def text() -> str:
    """Return the source of ``_known.py`` with the table as it should be."""
    path = Path(_known.__file__)
    head, _, _ = path.read_text(encoding="utf-8").partition("KNOWN: ")
    _, _, tail = path.read_text(encoding="utf-8").rpartition('"""``(kind')
    lines = [f'    ("{kind}", "{name}"): "{owner}",\n' for (kind, name), owner in generate().items()]
    body = "{\n" + "".join(lines) + "}" if lines else "{}"
    return f'{head}KNOWN: dict[tuple[str, str], str] = {body}\n"""``(kind{tail}'


if __name__ == "__main__":
    Path(_known.__file__).write_text(text(), encoding="utf-8")
