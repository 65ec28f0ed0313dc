"""Descriptions of options that base classes document, on the pages of the classes that have them.

A base class describes the options that its subclasses share (`invcore.Solver`, the metrics, the options of
readers). A subclass describes only its own; on its page those that it leaves out follow, taken from the
nearest class of its MRO.
"""

import inspect

from invcore._registry.descriptions import inherited, section


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
