"""Formulas as MathML, which browsers draw by themselves: the pages load nothing from elsewhere."""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

_LOG = logging.getLogger(__name__)
_LETTERS = {
    "∇": "nabla",
    "λ": "lambda",
    "σ": "sigma",
    "ξ": "xi",
    "τ": "tau",
    "Σ": "Sigma",
    "≤": "le",
    "≥": "ge",
    "·": "cdot",
}
_TEX = str.maketrans({letter: f"\\{name} " for letter, name in _LETTERS.items()})


def _mathml(node, as_block):
    text = node.astext()
    try:
        return tex2mathml(text.translate(_TEX), as_block=as_block)
    except MathError as error:
        _LOG.warning("formula %r: %s", text, error, location=node)
        return nodes.Text(text)


def _inline(writer, node):
    writer.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _display(writer, node):
    writer.body.append(writer.starttag(node, "div", CLASS="math"))
    writer.body.append(_mathml(node, as_block=True) + "</div>\n")
    raise nodes.SkipNode


def setup(app):
    """Register the renderer; ``html_math_renderer = "mathml"`` selects it."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
