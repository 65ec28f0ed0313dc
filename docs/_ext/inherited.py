"""Descriptions of options that base classes document, on the pages of the classes that have them.

A base class describes the options that its subclasses share (`invcore.Solver`, the metrics, the options of
readers). A subclass describes only its own; on its page those that it leaves out follow, taken from the
nearest class of its MRO.
"""

import inspect


def section(lines):
    """Where the entries of the section Parameters begin and end, ``(end, end)`` where one would be put if
    there is none."""
    heads = [i for i, line in enumerate(lines[1:]) if line.strip() and set(line.strip()) == {"-"}]
    begin = next((i + 2 for i in heads if lines[i].strip() == "Parameters"), None)
    end = min((i for i in heads if begin is None or i > begin), default=len(lines))
    while end and not lines[end - 1].strip():
        end -= 1
    return (end, end) if begin is None else (begin, end)


def described(cls):
    """The entries of the section Parameters of a class's own docstring: each name with its lines."""
    lines = inspect.cleandoc(cls.__dict__.get("__doc__") or "").splitlines()
    found, names = {}, []
    for line in lines[slice(*section(lines))]:
        if line[:1].strip():
            names = [name.strip() for name in line.partition(" : ")[0].split(",")]
            found.update({name: [line.replace(line.partition(" : ")[0], name, 1)] for name in names})
        else:
            for name in names:
                found[name].append(line)
    return found


def inherited(cls):
    """Collect from base classes the parameters that the class's own docstring does not describe."""
    own, found = described(cls), {}
    for name in inspect.signature(cls).parameters:
        if name not in own:
            entries = (described(base).get(name) for base in cls.__mro__[1:-1])
            if entry := next(filter(None, entries), None):
                found[name] = entry
    return found


def complete(lines, entries):
    """Append entries to the section Parameters of a docstring, which is made if there is none."""
    begin, end = section(lines)
    title = ["", "Parameters", "----------"] if begin == end else []
    lines[end:end] = title + [line for entry in entries.values() for line in entry]


def process(app, what, name, obj, options, lines):
    """Complete the docstring of a class before it is parsed (``autodoc-process-docstring``)."""
    if what == "class" and inspect.isclass(obj) and (obj.__doc__ or "").strip():
        try:
            entries = inherited(obj)
        except (TypeError, ValueError):  # a class without a signature
            return
        if entries:
            complete(lines, entries)


def setup(app):
    """Connect to Sphinx, ahead of `generate.escape` and numpydoc."""
    app.connect("autodoc-process-docstring", process, priority=50)
    return {"parallel_read_safe": True}
