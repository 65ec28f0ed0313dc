"""Sphinx configuration. Build with ``nox -s docs``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import invcore

project = "invcore"
author = "the invcore developers"
copyright = author
version = release = invcore.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "inherited",
    "generate",
    "layers",
    "mathml",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = [
    "_build",
    "_ext",
    "examples",
    "generated/rooms.md",
    "generated/examples/*.ipynb",
    "**/*.codeobj.json",
]
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence", "fieldlist"]
myst_heading_anchors = 3

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"invcore {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = []

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_use_plots = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "generated/examples",
    "filename_pattern": r"\.py$",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "write_computation_times": False,
    "remove_config_comments": True,
    "capture_repr": (),
    "reset_argv": lambda gallery_conf, script_vars: [],
}
suppress_warnings = ["config.cache"]
