"""Pictures of the rooms of each package and the imports between them, drawn from the code."""

import importlib.util
from collections import defaultdict
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
WIDTH, ROW, BOX = 720, 58, 30
LEAVE_OUT = ("_plugin", "_examples", "_demo", "testing", "__init__", "__main__")


def _tool():
    spec = importlib.util.spec_from_file_location("import_contracts", ROOT / "tools/import_contracts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arrows(package):
    """Count the imports between the rooms of a package at run time: ``{(importer, imported): number}``."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    found = defaultdict(int)
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            pair = _room(module), _room(other)
            if pair[0] != pair[1] and not set(pair) & set(LEAVE_OUT):
                found[pair] += 1
    return dict(found)


def _room(module):
    return module.split(".")[1] if "." in module else "__init__"


def floors(between):
    """Arrange rooms in rows, each above whatever it imports."""
    rooms = {room for pair in between for room in pair}
    height = {}

    def above(room):
        if room not in height:
            height[room] = 0  # a circle ends here
            height[room] = 1 + max((above(low) for high, low in between if high == room), default=-1)
        return height[room]

    rows = defaultdict(list)
    for room in sorted(rooms):
        rows[above(room)].append(room)
    return [tuple(rows[level]) for level in sorted(rows, reverse=True)]


def direct(between):
    """Leave out the arrows that follow from others (transitive reduction)."""
    below = defaultdict(set)
    for high, low in between:
        below[high].add(low)

    def reaches(room, goal, seen):
        return any(
            low == goal or reaches(low, goal, seen)
            for low in below[room]
            if not (low in seen or seen.add(low))
        )

    return {
        (high, low): number
        for (high, low), number in between.items()
        if not any(reaches(other, low, {high}) for other in below[high] - {low})
    }


def picture(rows, between, permitted):
    """Draw rooms in rows and the imports between them, as SVG; those permitted against the grain in red."""
    at, shapes = {}, []
    for level, row in enumerate(rows):
        for place, room in enumerate(row):
            width = 9 * len(room) + 24
            center = WIDTH * (place + 1) / (len(row) + 1)
            at[room] = (center, ROW * level + 30, width)
    for (high, low), number in sorted({**direct(between), **permitted}.items()):
        if high not in at or low not in at:
            continue
        (x, y, _), (u, v, _) = at[high], at[low]
        down = v > y
        start, end = (y + BOX / 2, v - BOX / 2) if down else (y - BOX / 2, v + BOX / 2)
        side = (
            0
            if abs(v - y) <= ROW or abs(x - u) > 40
            else (90 + 14 * abs(v - y) / ROW) * (-1) ** (len(high) + len(low))
        )
        middle = (start + end) / 2
        style = f'stroke-width="{0.8 + min(number, 12) / 6:.1f}" class="{"down" if down else "up"}"'
        curve = (
            f"M{x:.0f},{start:.0f} C{x + side:.0f},{middle:.0f} {u + side:.0f},{middle:.0f} {u:.0f},{end:.0f}"
        )
        title = f"<title>{escape(high)} imports {escape(low)}, {number} times</title>"
        shapes.append(f'<path d="{curve}" {style} marker-end="url(#tip)">{title}</path>')
    for room, (x, y, width) in at.items():
        shapes.append(
            f'<rect x="{x - width / 2:.0f}" y="{y - BOX / 2:.0f}" width="{width}" height="{BOX}" rx="5"/>'
        )
        shapes.append(f'<text x="{x:.0f}" y="{y + 5:.0f}">{escape(room)}</text>')
    height = ROW * len(rows) + 10
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}">'
        "<style>rect{fill:#f4f1ea;stroke:#6b6252}text{font:14px monospace;text-anchor:middle;fill:#222}"
        "path{fill:none}.down{stroke:#8aa0b4}.up{stroke:#c33}</style>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" '
        'markerUnits="userSpaceOnUse" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" style="fill:#8aa0b4"/></marker></defs>'
        f'<rect x="0" y="0" width="{WIDTH}" height="{height}" style="fill:white;stroke:none"/>'
    )
    return head + "".join(shapes) + "</svg>\n"


def write(app):
    """Draw every package into ``docs/generated``, and the page that shows the domain packages."""
    tool = _tool()
    folder = Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    lines = []
    for package in tool.packages():
        between = arrows(package)
        against = [rule.split(" -> ") for rule in tool.PERMITTED.get(package, [])]
        permitted = {pair: between.pop(pair) for pair in (tuple(map(_room, rule)) for rule in against)}
        rows = tool.LAYERS if package == "invcore" else floors(between)
        (folder / f"rooms_{package}.svg").write_text(picture(rows, between, permitted))
        if package != "invcore":
            lines += [
                f"### {package}",
                "",
                f"```{{image}} /generated/rooms_{package}.svg",
                f":alt: Rooms of {package}",
                "```",
                "",
            ]
    (folder / "rooms.md").write_text("\n".join(lines))


def setup(app):
    """Connect to Sphinx."""
    app.connect("builder-inited", write, priority=90)
    return {"parallel_read_safe": True}
