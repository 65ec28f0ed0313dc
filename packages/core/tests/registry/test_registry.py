"""Components, lookups by name, and what a lookup says when it fails."""

import dataclasses
import importlib
import importlib.metadata
import inspect
import pickle
import subprocess
import sys

import pytest

import invcore
from invcore._registry import hints
from invcore._registry import registry as _registry
from invcore._registry.aliases import ALIASES
from invcore._registry.loader import extras
from invcore.plugin import KINDS, Component, namespace
from invcore.testing import temporary_plugin

TARGETS = """
class Kernel:
    def __init__(self, *, size, sigma: float = 1.0):
        self.size, self.sigma = size, sigma

class Plain:
    pass

def factory(**options):
    return options

value = 3
"""


@pytest.fixture
def lab(distributions):
    """A temporary plugin with one component for each way of being callable."""
    distributions.write("lab_targets.py", TARGETS)
    parts = {"kernel": "Kernel", "plain": "Plain", "factory": "factory", "value": "value"}
    components = [
        Component("operator", f"lab.{name}", f"lab_targets:{target}") for name, target in parts.items()
    ]
    components += [
        Component("prior", "lab.tv", "lab_targets:Plain"),
        Component("operator", "lab.dict", "builtins:dict"),
    ]
    with temporary_plugin(components, name="invcore-lab") as plugin:
        yield plugin


# -- Component --------------------------------------------------------------------------------------


def test_component_is_a_frozen_value_of_text():
    component = Component("operator", "acme.gain", "acme.code:Gain", requires=("sigpy",), tags=("a", "b"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        component.name = "other"
    assert pickle.loads(pickle.dumps(component)) == component
    assert hash(component) == hash(dataclasses.replace(component))
    assert component.namespace == "acme"
    assert Component("solver", "cg", "m:a").namespace == ""


@pytest.mark.parametrize(
    "change, message",
    [
        ({"kind": "operators"}, "unknown kind; the kinds are operator, noise"),
        ({"kind": 1}, "kind must be a string, not int"),
        ({"name": "acme.Gain"}, "lower-case letters"),
        ({"name": "acme gain"}, "lower-case letters"),
        ({"name": ""}, "lower-case letters"),
        ({"name": "acme..gain"}, "lower-case letters"),
        ({"target": "acme.code.Gain"}, "target must read 'package.module:attribute', not 'acme.code.Gain'"),
        ({"target": dict}, "target must be a string, not type"),
        ({"examples": "acme.code"}, "examples must read 'package.module:function'"),
        ({"requires": "sigpy"}, "requires must be a tuple of strings such as ('sigpy',), not 'sigpy'"),
        ({"requires": ["sigpy"]}, "requires must be a tuple of strings"),
        ({"requires": ("scipy.ndimage",)}, "top-level import names such as 'sigpy', not 'scipy.ndimage'"),
        ({"tags": (1,)}, "tags must be a tuple of strings"),
        ({"summary": "two\nlines"}, "printable text on one line"),
        ({"tags": ("\x1b[31m",)}, "printable text on one line"),
    ],
)
def test_component_says_what_is_wrong(change, message):
    fields = {"kind": "operator", "name": "acme.gain", "target": "acme.code:Gain", **change}
    component = Component(**fields)  # a wrong one can be made, or it would take its table with it
    with pytest.raises(invcore.ParameterError) as error:
        component.validate()
    assert message in str(error.value)
    assert repr(component.name) in str(error.value)
    assert isinstance(error.value, ValueError)


def test_rows_of_a_namespace():
    acme = namespace("acme", "invcore_acme")
    for kind in KINDS:
        row = getattr(acme, kind)("gain", "Gain", "Per-pixel gain")
        row.validate()
        assert row == Component(
            kind,
            "acme.gain",
            "invcore_acme:Gain",
            summary="Per-pixel gain",
            examples="invcore_acme._examples:gain",
            tags=("acme",),
        )
    row = acme.operator("3d-gain", "scanners.gains:Gain", "Gain", "linear odd", requires=("sigpy",))
    row.validate()
    assert (row.target, row.examples) == (
        "invcore_acme.scanners.gains:Gain",
        "invcore_acme._examples.scanners.gains:_3d_gain",
    )
    assert (row.tags, row.requires) == (("acme", "linear", "odd"), ("sigpy",))


# -- lookups ----------------------------------------------------------------------------------------


def test_there_is_a_helper_for_every_kind():
    for kind in KINDS:
        with pytest.raises(invcore.UnknownComponentError, match=f"no {kind} is called 'nothing-of-the-kind'"):
            getattr(invcore, kind)("nothing-of-the-kind")


@pytest.mark.parametrize(
    "kind", ["operator", "noise", "fidelity", "prior", "solver", "denoiser", "loss", "metric"]
)
def test_helpers_state_what_they_return(kind):
    annotation = inspect.signature(getattr(invcore, kind)).return_annotation
    assert annotation == kind.capitalize()
    assert hasattr(invcore, annotation)


def test_create_passes_parameters(lab):
    made = invcore.operator("lab.kernel", size=3)
    assert (made.size, made.sigma) == (3, 1.0)
    assert invcore.create("operator", "lab.factory", kind=1, name=2) == {"kind": 1, "name": 2}
    assert invcore.get("operator", "lab.value") == 3
    assert invcore.operator("lab.dict", a=1) == {"a": 1}  # a builtin without a signature


@pytest.mark.parametrize(
    "name, params, message",
    [
        (
            "lab.kernel",
            {"size": 3, "sigmas": 2},
            "operator 'lab.kernel' has no parameter 'sigmas'. Did you mean 'sigma'? It takes size, sigma.",
        ),
        (
            "lab.kernel",
            {"size": 3, "foo": 1, "bar": 2},
            "operator 'lab.kernel' has no parameter 'foo' or 'bar'. It takes size, sigma.",
        ),
        ("lab.kernel", {}, "operator 'lab.kernel' needs size. It takes size, sigma."),
        ("lab.plain", {"x": 1}, "operator 'lab.plain' has no parameter 'x'. It takes no parameters."),
        ("lab.value", {}, "operator 'lab.value' is 3, which cannot be called: use invcore.get."),
    ],
)
def test_wrong_parameters(lab, name, params, message):
    with pytest.raises(invcore.ParameterError) as error:
        invcore.operator(name, **params)
    assert str(error.value) == message


def test_an_error_inside_the_constructor_is_not_disguised(distributions):
    distributions.simple("invcore-acme", code="class Thing:\n    def __init__(self):\n        {}['x']\n")
    with pytest.raises(KeyError):
        invcore.operator("acme.thing")


def test_unknown_names(lab):
    def said(kind, name, **kwargs):
        with pytest.raises(invcore.UnknownComponentError) as error:
            invcore.get(kind, name, **kwargs)
        return str(error.value)

    assert said("operator", "lab.kernal") == "no operator is called 'lab.kernal'. Did you mean 'lab.kernel'?"
    assert said("operator", "kernel").endswith("Here it is called 'lab.kernel'.")
    assert said("operator", "lab.tv") == (
        "no operator is called 'lab.tv'. 'lab.tv' is a prior, not an operator. Use invcore.prior('lab.tv')."
    )
    assert said("prior", "zzz") == "no prior is called 'zzz'. `invcore list prior` shows what is installed."
    assert said("operator", "lab.kernel", plugin="invcore") == (
        "no operator is called 'lab.kernel' in plugin 'invcore'. It is offered by invcore-lab."
    )


def test_unknown_kind_and_plugin(lab):
    with pytest.raises(invcore.ParameterError, match=r"no kind 'operators'. Did you mean 'operator'\?"):
        invcore.components("operators")
    with pytest.raises(
        invcore.UnknownComponentError, match=r"no plugin 'invcore-lap' .* Did you mean 'invcore-lab'"
    ):
        invcore.components(plugin="invcore-lap")


@pytest.mark.parametrize("name", ["PSNR", "Psnr", "psnr"])
def test_case_does_not_matter(name, lab):
    assert type(invcore.metric(name, data_range=1)).__name__ == "PSNR"
    assert invcore.operator("Lab.Kernel", size=3).size == 3


def test_a_name_is_text(lab):
    with pytest.raises(invcore.ParameterError, match=r"by its name, a string, not <class 'dict'>"):
        invcore.get("operator", dict)


def test_a_package_of_ours_that_is_not_installed(distributions, command):
    """Its namespace is the extra that installs it."""
    plugins = _registry.registry().plugins()
    without = [plugin for plugin in plugins if plugin.name == "invcore"]
    said = lambda *asked: hints.unknown_message(*asked, None, without)
    assert said("operator", "tomography.xray") == (
        "no operator is called 'tomography.xray'. "
        "What starts with 'tomography.' comes with: pip install \"invcore[tomography]\""
    )
    assert said("operator", "radon") == (
        "no operator is called 'radon'. Here it is called 'tomography.xray'. "
        "What starts with 'tomography.' comes with: pip install \"invcore[tomography]\""
    )
    assert said(None, "mri.sense").endswith("""comes with: pip install "invcore[mri]\"""")
    assert said("operator", "acme.gain") == (
        "no operator is called 'acme.gain'. No plugin called 'acme' is installed."
    )
    assert hints.install("mri", without) == 'pip install "invcore[mri]"'
    assert hints.install("mri", plugins) == ""  # it is there, and disabled
    assert hints.install("ct", without) == ""  # an extra, and no namespace


@pytest.mark.parametrize(
    "kind, word, meant",
    [
        ("operator", "blur", "Here it is called 'convolution'."),
        ("operator", "inpainting", "Here it is called 'mask'."),
        ("operator", "Super_Resolution", "Here it is called 'downsample'."),
        ("operator", "BlurFFT", "Here it is called 'convolution'."),
        ("operator", "DownsamplingPhysics", "Here it is called 'downsample'."),
        ("solver", "mlem", "Here it is called 'richardson_lucy'."),
        ("solver", "PDHG", "Here it is called 'chambolle_pock'."),
        ("solver", "ista", "Here it is called 'pgd'."),
        ("solver", "conjugate_gradient", "Here it is called 'cg'."),
        ("solver", "L-BFGS", "Here it is called 'lbfgs'."),
        ("solver", "sgd", "Here it is called 'saga' or 'svrg'."),
        ("fidelity", "l2", "Here it is called 'least_squares'."),
        ("fidelity", "poisson", "Here it is called 'poisson_kl'."),
        ("prior", "l2", "Here it is called 'tikhonov'."),
        ("prior", "TVPrior", "Here it is called 'tv'."),
        ("prior", "nuclear_norm", "Here it is called 'nuclear'."),
        ("noise", "GaussianNoise", "Here it is called 'gaussian'."),
        ("operator", "pdhg", "Here it is called the solver 'chambolle_pock'."),
        ("solver", "tv", "'tv' is a prior and a denoiser, not a solver. Use invcore.prior('tv')."),
    ],
)
def test_words_of_other_libraries_are_suggested(kind, word, meant):
    with pytest.raises(invcore.UnknownComponentError) as error:
        invcore.get(kind, word)
    assert str(error.value).splitlines()[0] == f"no {kind} is called {word!r}. {meant}"


@pytest.mark.parametrize("word", ["swinir", "bm4d", "xyzzy"])
def test_nothing_is_invented_for_what_we_lack(word):
    with pytest.raises(invcore.UnknownComponentError) as error:
        invcore.denoiser(word)
    assert "Here it is" not in str(error.value)


def test_aliases_point_to_what_exists_and_are_no_names_of_ours():
    invcore.refresh()
    ours = {(item.kind, item.name) for item in invcore.components()}
    installed = {plugin.entry for plugin in _registry.registry().installed}
    for kind, rows in ALIASES.items():
        assert kind in KINDS
        for name, words in rows.items():
            if "." not in name or name.partition(".")[0] in installed:
                assert (kind, name) in ours
            assert not {(kind, word) for word in words.split()} & ours, name
            assert len(set(words.split())) == len(words.split()), name


def test_components_are_ordered_by_kind_and_name(lab):
    found = invcore.components()
    keys = [(KINDS.index(item.kind), item.name) for item in found]
    assert keys == sorted(keys)
    assert [item.name for item in invcore.components("operator", plugin="invcore-lab")] == [
        "lab.dict",
        "lab.factory",
        "lab.kernel",
        "lab.plain",
        "lab.value",
    ]


# -- what the repository registers ------------------------------------------------------------------


FIRST_PARTY = {"invcore", *(f"invcore-{name}" for name in extras())}


def test_extras_named_after_packages_are_those_of_the_metadata():
    declared = importlib.metadata.metadata("invcore").get_all("Provides-Extra")
    packages = {"mri", "tomography", "radio", "lidar", "optics", "learning", "diffusion"}
    assert extras() == packages & set(declared)
    assert {"ct", "io", "testing"} <= set(declared) - extras()


def test_installed_first_party_plugins_are_sound():
    invcore.refresh()
    plugins = _registry.registry().plugins()
    assert not [f.message for plugin in plugins if plugin.name in FIRST_PARTY for f in plugin.failures]
    assert not _registry.registry().conflicts()


def test_the_target_and_the_examples_of_each_component_exist():
    invcore.refresh()
    for item in invcore.components():
        if item.plugin in FIRST_PARTY and item.status == "available":
            assert callable(item.load()), item.name
        if item.plugin in FIRST_PARTY and item.examples:
            module, _, function = item.examples.partition(":")
            assert callable(getattr(importlib.import_module(module), function)), item.name


def test_metadata_is_read_once_in_a_process():
    code = (
        "import importlib.metadata as m, invcore; real, calls = m.distributions, []\n"
        "m.distributions = lambda *a, **k: calls.append(1) or real(*a, **k)\n"
        "from invcore._registry.registry import registry; registry().find('solver', 'cg'); assert not calls\n"
        "invcore.components(); invcore.components('operator')\n"
        "assert len(calls) == 1, calls\n"
        "invcore.refresh(); invcore.components(); assert len(calls) == 2, calls\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_obvious_parameter_is_given_by_position():
    assert invcore.noise("gaussian", 0.1).sigma == 0.1
    with pytest.raises(invcore.ParameterError, match="takes sigma by position, the rest by name"):
        invcore.noise("gaussian", 0.1, 0.2)
    with pytest.raises(
        invcore.ParameterError, match="prior 'tv' takes its parameters by name: kind, coupling"
    ):
        invcore.prior("tv", 3)


@pytest.mark.parametrize(
    "kind, name, given, meant",
    [
        ("solver", "cg", "lambda_reg", "weight"),
        ("solver", "cg", "lam", "weight"),
        ("solver", "cg", "n_iter", "max_steps"),
        ("solver", "cg", "tol", "rtol"),
        ("noise", "gaussian", "std", "sigma"),
        ("noise", "poisson", "scale", "gain"),
        ("operator", "convolution", "psf", "kernel"),
    ],
)
def test_parameters_by_the_words_of_other_libraries(kind, name, given, meant):
    with pytest.raises(invcore.ParameterError, match=f"no parameter '{given}'. Did you mean '{meant}'"):
        invcore.create(kind, name, **{given: 1.0})


@pytest.mark.parametrize(
    "kind, name, said",
    [
        ("sampler", "ula", "'diffusion.ula'|No sampler exists yet"),
        ("model", "unet", "no model is called 'unet'"),
        ("operator", "nowhere.psf", "No plugin called 'nowhere' is installed"),
        ("solver", "conjugate_gradient", "'cg'"),
        ("operator", "emission", "'tomography.pet'"),
    ],
)
def test_what_does_not_exist_is_said(kind, name, said):
    with pytest.raises(invcore.UnknownComponentError, match=said):
        invcore.get(kind, name)


def test_words_of_summaries_are_searched():
    with pytest.raises(invcore.UnknownComponentError, match="The word is in the summary of .*'osem'"):
        invcore.get("solver", "likelihood")
