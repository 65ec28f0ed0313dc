"""Formulas as MathML, which browsers draw by themselves: the pages load nothing from elsewhere."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

_LOG = logging.getLogger(__name__)
_COMMANDS = {
    "∇": "nabla",
    "λ": "lambda",
    "σ": "sigma",
    "ξ": "xi",
    "τ": "tau",
    "ρ": "rho",
    "μ": "mu",
    "φ": "varphi",
    "δ": "delta",
    "ε": "varepsilon",
    "Σ": "Sigma",
    "≤": "le",
    "≥": "ge",
    "∞": "infty",
    "∂": "partial",
    "∫": "int",
    "·": "cdot",
    "⟨": "langle",
    "⟩": "rangle",
    "‖": "Vert",
    "∘": "circ",
    "⊙": "odot",
    "←": "leftarrow",
    "…": "ldots",
    "∈": "in",
    "±": "pm",
}
_TEX = str.maketrans(
    {letter: f"\\{name} " for letter, name in _COMMANDS.items()}
    | {"²": "^2", "½": "\\tfrac{1}{2}", "ᴴ": "^{\\mathrm{H}}", "\u0304": "", "√": "\\surd "}
)
_REWRITTEN = (
    (re.compile(r"(\w)\u0303"), r"\\tilde{\1}"),  # a letter under a combining tilde
    (re.compile(r"\\dots\b"), r"\\ldots"),
    (re.compile(r"(\\[td]?frac)\s*(\d)(\d)"), r"\1{\2}{\3}"),  # \frac12
    (re.compile(r"\\(textstyle|displaystyle)\b"), ""),
    (re.compile(r"\\texttt\b"), r"\\text"),
)
"""What docutils' translator does not know, in its words."""


def _mathml(node, as_block):
    text = node.astext()
    tex = text.translate(_TEX)
    for pattern, replacement in _REWRITTEN:
        tex = pattern.sub(replacement, tex)
    try:
        return tex2mathml(tex, as_block=as_block)
    except (MathError, AttributeError) as error:  # a row that ends outside an environment is the second
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
