"""Rules for the source of every package: it prints nothing, unpickles nothing, hides no builtin, shares no
default."""

import ast
import builtins
import importlib
import inspect
import json
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path for path in ROOT.glob("packages/*/src/invcore*") if path.is_dir())
PUBLIC = json.loads((ROOT / "tests" / "api_surface.json").read_text())


def calls(package):
    """Every call in a package's source, with the file it stands in, the name called and its keywords."""
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                yield path.relative_to(package), ast.unparse(node.func), keywords, node


FORBIDDEN = ("pickle.load", "marshal.load", "eval", "exec", "compile", "os.system", "yaml.load")


def modules(package):
    """Every module of a package, parsed."""
    return (
        (path.relative_to(package), ast.parse(path.read_text())) for path in sorted(package.rglob("*.py"))
    )


def test_every_package_is_walked():
    assert [path.name for path in PACKAGES] == sorted(
        f"invcore_{path.parent.name}".removesuffix("_core") for path in ROOT.glob("packages/*/pyproject.toml")
    )


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_only_the_command_line_prints(package):
    for path, name, keywords, _ in calls(package):
        if not {"cli", "_template"} & set(path.parts):
            assert name != "print" or "file" in keywords, path


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_nothing_is_unpickled_or_extracted_unchecked(package):
    for path, name, keywords, node in calls(package):
        assert name not in (
            "pickle.load",
            "marshal.load",
            "eval",
            "exec",
            "compile",
            "os.system",
            "yaml.load",
        ), path
        assert keywords.get("shell", "False") == "False", path
        if name == "pickle.loads":  # a round trip of what was just written
            assert ast.unparse(node.args[0]).startswith("pickle.dumps("), path
        assert keywords.get("allow_pickle", "False") == "False", path
        if name == "torch.load":
            assert keywords.get("weights_only") == "True", path
        if name.endswith((".extractall", ".extract")):
            assert keywords.get("filter") == "'data'", path


STATE = (
    "manual_seed",
    "seed",
    "set_default_dtype",
    "set_default_device",
    "set_num_threads",
    "set_printoptions",
)
STATE += ("simplefilter", "filterwarnings", "chdir", "basicConfig", "seterr", "setrlimit", "putenv")
MAY = {  # where state of the process is set: the kit and the children it forks, and the one place for threads
    "invcore": ("threads.py", "testing/", "cli/_app.py"),
    "invcore_radio": ("_io/casacore_tables.py",),
}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_global_state_is_changed(package):
    """Seeds, dtypes, threads, warning filters and the environment are the user's."""
    for path, tree in modules(package):
        if path.as_posix().startswith(MAY.get(package.name, ())):
            continue
        calm = [
            n
            for n in ast.walk(tree)
            if isinstance(n, ast.With) and "catch_warnings" in ast.unparse(n.items[0])
        ]
        inside = {id(inner) for block in calm for inner in ast.walk(block)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                holder, _, name = ast.unparse(node.func).rpartition(".")
                own = "Generator" in holder or "generator" in holder
                assert name not in STATE or own or id(node) in inside, f"{path}:{node.lineno} {holder}.{name}"
            targets = node.targets if isinstance(node, ast.Assign) else []
            assert not any("os.environ" in ast.unparse(t) for t in targets), f"{path}:{node.lineno}"


@pytest.mark.parametrize("package", [p for p in PACKAGES if p.name != "invcore"], ids=lambda path: path.name)
def test_a_reader_calls_no_error_of_its_own_damage(package):
    """`invcore.io.damage` tells what a format's library raises from faults of the reader."""
    for path, tree in modules(package):
        if "_io" not in path.parts:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                kind = "anything" if node.type is None else ast.unparse(node.type)
                sends = "casacore_tables" in path.name and "RuntimeError" in ast.unparse(node)
                assert kind not in ("anything", "Exception", "BaseException") or sends, (
                    f"{path}:{node.lineno}"
                )


LIBRARIES = {
    "fits.open": ("_io/fits_checks.py",),
    "tifffile.TiffFile": ("_io/tiff.py", "_io/tiff_image.py", "_io/tiff_stack.py"),
    "mrcfile.open": ("_io/mrc.py",),
    "pydicom.dcmread": ("_io/dicom.py",),
    "olefile.OleFileIO": ("_io/txrm.py",),
    "ptufile.PtuFile": ("_io/ptu.py",),
    "loadmat": ("_io/mat.py", "_io/mat_variables.py", "_data/matlab.py"),
    "table": ("_io/casacore_tables.py",),
}


@pytest.mark.parametrize("package", [p for p in PACKAGES if p.name != "invcore"], ids=lambda path: path.name)
def test_a_library_opens_a_file_in_one_place(package):
    """The place where the file was walked before; HDF5 is opened by `invcore.io.open_hdf5` only."""
    for path, name, _, node in calls(package):
        if "_examples" in path.parts:
            continue
        if name in LIBRARIES:
            assert path.as_posix() in LIBRARIES[name], f"{path}:{node.lineno}"
        assert name not in ("h5py.File", "fits.getdata", "tifffile.imread", "np.load", "numpy.load"), path


def test_core_opens_files_of_others_in_one_room():
    """Where links, sizes and formats are looked at; what is written is made in memory first."""
    (core,) = (path for path in PACKAGES if path.name == "invcore")
    for path, name, _, node in calls(core):
        if path.parts[0] not in ("_files", "_examples", "testing"):
            assert name not in ("h5py.File", "Image.open", "imread"), f"{path}:{node.lineno}"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_hdf5_is_written_in_one_place(package):
    """`invcore.io.write_hdf5`: whole or not at all, also on a disk that is full; examples and the kit too."""
    for path, name, keywords, node in calls(package):
        if name == "h5py.File" and path.parts[0] != "_files":
            mode = [ast.unparse(argument) for argument in node.args[1:2]] or [keywords.get("mode", "'r'")]
            assert mode == ["'r'"], f"{path}:{node.lineno}"


def test_a_star_import_hides_no_builtin():
    assert [f"{module}.{n}" for module, names in PUBLIC.items() for n in names if hasattr(builtins, n)] == []


def test_no_default_can_be_changed():
    for module, names in PUBLIC.items():
        for name in names:
            thing = getattr(importlib.import_module(module), name)
            if inspect.isfunction(thing) or (inspect.isclass(thing) and not issubclass(thing, BaseException)):
                defaults = [p.default for p in inspect.signature(thing).parameters.values()]
                assert not any(isinstance(d, list | dict | set | torch.Tensor) for d in defaults), name
