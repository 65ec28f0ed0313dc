"""Reading, writing, provenance."""

import dataclasses
import json
import os
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore import io
from invcore.operators import Identity

READER = """
    from dataclasses import dataclass
    from pathlib import Path
    import torch
    import invcore
    from invcore.io import Acquisition, Reader
    from invcore.operators import Identity

    def acquisition(path):
        A = Identity(domain=invcore.Space((1, 2, 2)))
        return Acquisition(y=torch.ones(1, 2, 2), physics=invcore.Physics(A), metadata={"file": path.name})

    class Thing(Reader):
        @dataclass(frozen=True, kw_only=True)
        class Options:
            scale: float = 1.0

        def sniff(self, path):
            return path.suffix in (".one", ".both")

        def _read(self, path, options):
            if path.read_text() == "broken":
                raise KeyError("kspace")
            if path.read_text() == "odd":
                return 3
            if path.read_text() == "truncated":
                raise invcore.DataError(f"{path} is truncated")
            return acquisition(path)

    class Other(Thing):
        def sniff(self, path):
            return path.suffix in (".two", ".both")

    class Raises(Thing):
        def sniff(self, path):
            raise RuntimeError("sniffing went wrong")
"""
PLUGIN = """
    from invcore.plugin import Component, hookimpl

    @hookimpl
    def invcore_components():
        return [
            Component("reader", "{entry}.one", "{package}.code:Thing", summary="format one"),
            {more}
        ]
"""


@pytest.fixture
def readers(distributions):
    def install(name, *more):
        entry, package = name.removeprefix("invcore-"), name.replace("-", "_")
        components = "".join(
            f'Component("reader", "{entry}.{word}", "{package}.code:{target}", {extra}),'
            for word, target, extra in more
        )
        body = textwrap.dedent(PLUGIN).format(entry=entry, package=package, more=components)
        distributions.install(name, body, code=textwrap.dedent(READER))

    return install


def file(folder, name, text="fine"):
    (folder / name).write_text(text)
    return folder / name


class TestRead:
    def test_the_one_reader_that_recognizes_the_file(self, readers, tmp_path):
        readers("invcore-lab", ("two", "Other", ""))
        acquisition = invcore.read(file(tmp_path, "scan.two"))
        assert isinstance(acquisition, invcore.Acquisition)
        assert acquisition.metadata == {"file": "scan.two"}
        assert repr(acquisition) == (
            "Acquisition(y=float32[1, 2, 2], operator=Identity, noise=NoNoise, metadata=<1 entries>)"
        )
        assert invcore.read(str(file(tmp_path, "other.xyz")), format="lab.one", scale=2.0).y.shape == (
            1,
            2,
            2,
        )

    def test_no_reader(self, readers, tmp_path):
        readers("invcore-lab", ("needs", "Other", 'requires=("no_such_package",)'))
        with pytest.raises(invcore.DataError) as error:
            invcore.read(file(tmp_path, "scan.xyz"))
        message = str(error.value)
        assert "no installed reader recognizes this file" in message
        assert "lab.one: format one (invcore-lab)" in message
        assert "lab.needs:" in message and "needs 'no_such_package', which is not installed" in message

    def test_a_format_whose_package_is_missing(self, readers, tmp_path):
        readers("invcore-lab", ("needs", "Other", 'requires=("no_such_package",)'))
        with pytest.raises(invcore.MissingDependencyError, match=r"scan\.two: .*no_such_package"):
            invcore.read(file(tmp_path, "scan.two"))
        with pytest.raises(invcore.DataError, match="It is empty"):
            invcore.read(file(tmp_path, "empty.xyz", ""))

    def test_nothing_installed(self, distributions, tmp_path, monkeypatch):
        from invcore.io import _read

        monkeypatch.setattr(
            _read, "registry", lambda: type("None", (), {"components": lambda self, kind: ()})()
        )
        with pytest.raises(invcore.DataError, match=r"pip install \"invcore\[mri\]\""):
            invcore.read(file(tmp_path, "scan.xyz"))

    def test_several_readers(self, readers, tmp_path):
        readers("invcore-lab", ("two", "Other", ""))
        with pytest.raises(invcore.DataError, match=r"lab.one .*lab.two.*format='lab.one'"):
            invcore.read(file(tmp_path, "scan.both"))
        assert invcore.read(file(tmp_path, "scan.both"), format="lab.two").metadata

    def test_a_reader_that_raises_while_sniffing_breaks_nothing(self, readers, tmp_path):
        readers("invcore-lab", ("bad", "Raises", ""))
        with pytest.warns(RuntimeWarning, match=r"lab.bad.*RuntimeError: sniffing went wrong"):
            assert invcore.read(file(tmp_path, "scan.one")).metadata
        with pytest.raises(invcore.DataError, match="sniffing went wrong"):
            invcore.read(file(tmp_path, "scan.xyz"))

    def test_missing_files(self, readers, tmp_path):
        readers("invcore-lab")
        file(tmp_path, "brain.one")
        for wrong in ("brain", "brian.one"):
            with pytest.raises(FileNotFoundError, match=r"does not exist. Did you mean brain.one\?"):
                invcore.read(tmp_path / wrong)
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            invcore.read(tmp_path / "nowhere" / "brain.one")
        with pytest.raises(FileNotFoundError, match="does not exist"):
            invcore.read(tmp_path / "nothing-like-it", format="lab.one")

    def test_folder(self, readers, tmp_path):
        readers("invcore-lab")
        with pytest.raises(invcore.DataError, match=r"recognizes this folder\. Give one of the files in it"):
            invcore.read(tmp_path)

    def test_damaged_files_options_and_formats(self, readers, tmp_path):
        readers("invcore-lab")
        with pytest.raises(invcore.DataError, match=r"lab.one could not read .*KeyError: 'kspace'"):
            invcore.read(file(tmp_path, "a.one", "broken"))
        with pytest.raises(invcore.DataError, match=r"a.one is truncated$"):
            invcore.read(file(tmp_path, "a.one", "truncated"))
        with pytest.raises(invcore.DataError, match="returned int"):
            invcore.read(file(tmp_path, "a.one", "odd"))
        with pytest.raises(invcore.ParameterError, match=r"no parameter 'scael'. Did you mean 'scale'\?"):
            invcore.read(file(tmp_path, "a.one"), scael=1)
        with pytest.raises(invcore.UnknownComponentError, match=r"lab.oen"):
            invcore.read(file(tmp_path, "a.one"), format="lab.oen")


def test_acquisition_is_frozen_and_moves():
    physics = invcore.Physics(Identity((1, 2, 2)))
    acquisition = io.Acquisition(
        y=(torch.ones(1, 2, 2), torch.ones(3) + 0j), physics=physics, solver={"name": "cg"}
    )
    assert "y=(float32[1, 2, 2], complex64[3])" in repr(acquisition) and "'cg'" in repr(acquisition)
    double = acquisition.to(torch.float64)
    assert double.y[0].dtype == torch.float64 and double.y[1].dtype == torch.complex128
    assert acquisition.y[0].dtype == torch.float32
    with pytest.raises(dataclasses.FrozenInstanceError):
        acquisition.y = None


def test_the_voxel_size_is_checked():
    physics = invcore.Physics(Identity((1, 4, 4)))
    sized = lambda voxel: io.Acquisition(y=torch.ones(1, 4, 4), physics=physics, metadata={"voxel_m": voxel})
    assert sized(None).voxel_size is None
    assert sized(0.5).voxel_size == (0.5, 0.5) and sized([1, 2]).voxel_size == (1.0, 2.0)
    for wrong in (0.0, [1.0], [1.0, float("nan")], "1 mm", [1, "x"]):
        with pytest.raises(invcore.DataError, match="voxel_m must be"):
            _ = sized(wrong).voxel_size


def test_pictures_have_the_shape_of_the_object(tmp_path):
    x = torch.arange(12.0).reshape(1, 3, 4)
    io.save_png(tmp_path / "a.png", x, voxel_size=(2.0, 1.0))
    drawn = png_pixels(tmp_path / "a.png")
    assert drawn.shape[:2] == (6, 4) and (drawn[0::2] == drawn[1::2]).all()
    io.save_png(tmp_path / "b.png", torch.rand(1, 4, 6, 6), spatial_dims=3, voxel_size=(3.0, 1.0, 1.0))
    assert png_pixels(tmp_path / "b.png").shape[:2] == (12, 6 * 3 + 4)  # 6 x 6, and twice 12 x 6


def test_what_is_left_out_is_a_tuple_of_sentences():
    with pytest.raises(invcore.ParameterError, match="tuple of sentences"):
        io.Acquisition(
            y=torch.ones(1, 2, 2), physics=invcore.Physics(Identity((1, 2, 2))), left_out="1 of 3 slices used"
        )


class TestAtomicPath:
    def test_success_replaces_the_file(self, tmp_path):
        target = file(tmp_path, "result.nii.gz", "old")
        with io.atomic_path(target) as partial:
            assert partial.parent == tmp_path and partial.name.endswith(".nii.gz")
            partial.write_text("new")
            assert target.read_text() == "old"
        assert target.read_text() == "new" and os.listdir(tmp_path) == ["result.nii.gz"]
        assert target.stat().st_mode & 0o777 == file(tmp_path, "usual").stat().st_mode & 0o777

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
    def test_failure_leaves_no_trace(self, tmp_path, error):
        target = file(tmp_path, "result.h5", "old")

        def write():
            with io.atomic_path(target) as partial:
                partial.write_text("half")
                raise error

        with pytest.raises(error):
            write()
        assert target.read_text() == "old" and os.listdir(tmp_path) == ["result.h5"]

    def test_folders_that_cannot_be_written(self, tmp_path):
        blocked = file(tmp_path, "file")
        with (
            pytest.raises(invcore.DataError, match="does not exist; create it first"),
            io.atomic_path(tmp_path / "no" / "a"),
        ):
            pass
        with pytest.raises(invcore.DataError, match="cannot write"), io.atomic_path(blocked / "a"):
            pass
        with pytest.raises(invcore.DataError, match="it is a folder"), io.atomic_path(tmp_path):
            pass
        assert os.listdir(tmp_path) == ["file"]

    def test_killed_by_the_interrupt_key(self, tmp_path):
        """A real SIGINT in the middle of writing, in a process of its own."""
        code = textwrap.dedent("""
            import os, signal, sys
            from invcore.io import atomic_path
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may ignore it
            with atomic_path(sys.argv[1]) as partial:
                partial.write_text("half")
                os.kill(os.getpid(), signal.SIGINT)
                while True: pass
        """)
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "a")], capture_output=True, timeout=60
        )
        assert b"KeyboardInterrupt" in done.stderr
        assert os.listdir(tmp_path) == []

    def test_what_a_killed_process_left_is_gone_after_the_next_write(self, tmp_path):
        code = "import os, sys; from invcore.io import atomic_path\n"
        code += "with atomic_path(sys.argv[1]) as p: p.write_text('half'); os.kill(os.getpid(), 9)"
        subprocess.run([sys.executable, "-c", code, tmp_path / "a"], timeout=60)
        assert os.listdir(tmp_path) == [".part.a"]
        with io.atomic_path(tmp_path / "a") as one, io.atomic_path(tmp_path / "a") as two:  # two at once
            assert one != two
            one.write_text("one")
            two.write_text("two")
        assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "one"
        umask = os.umask(0)
        os.umask(umask)
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask

    def test_a_link_in_place_of_the_temporary_file_is_not_followed(self, tmp_path):
        (tmp_path / "victim").write_text("mine")
        os.symlink(tmp_path / "victim", tmp_path / ".part.a")
        with io.atomic_path(tmp_path / "a") as path:
            path.write_text("new")
        assert (tmp_path / "victim").read_text() == "mine" and (tmp_path / "a").read_text() == "new"


class TestReconstructionFile:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
    def test_round_trip(self, tmp_path, dtype):
        x = torch.randn(2, 3, 1, 5, 4, dtype=dtype, generator=torch.Generator().manual_seed(0))
        io.save_reconstruction(tmp_path / "r.h5", x.conj(), {"a": [1, float("nan")], "t": x})
        loaded, record = io.load_reconstruction(tmp_path / "r.h5")
        assert torch.equal(loaded, x.conj()) and loaded.dtype == dtype
        assert record["a"] == [1, "nan"] and record["t"]["shape"] == [2, 3, 1, 5, 4]

    def test_readable_by_plain_h5py(self, tmp_path):
        io.save_reconstruction(tmp_path / "r.h5", torch.ones(1, 4, 5, 6) * 1j, {"seed": 1}, spatial_dims=3)
        with h5py.File(tmp_path / "r.h5") as f:
            assert f["x"].shape == (1, 1, 4, 5, 6) and f["x"].dtype == np.complex64
            assert [d.label for d in f["x"].dims] == ["batch", "channel", "z", "y", "x"]
            assert json.loads(f["provenance"][()]) == {"seed": 1}

    def test_errors(self, tmp_path):
        with pytest.raises(invcore.ShapeError, match="2 spatial dimensions"):
            io.save_reconstruction(tmp_path / "r.h5", torch.ones(4, 4), {})
        with pytest.raises(invcore.DtypeError, match="ndarray"):
            io.save_reconstruction(tmp_path / "r.h5", np.ones((1, 4, 4)), {})
        with pytest.raises(FileNotFoundError):
            io.load_reconstruction(tmp_path / "r.h5")
        with pytest.raises(invcore.DataError, match="not an HDF5 file"):
            io.load_reconstruction(file(tmp_path, "text.h5"))
        with h5py.File(tmp_path / "other.h5", "w") as f:
            f["image"] = 1
        with pytest.raises(invcore.DataError, match=r"x and provenance missing, it holds image"):
            io.load_reconstruction(tmp_path / "other.h5")
        io.save_reconstruction(tmp_path / "whole.h5", torch.ones(1, 64, 64), {})
        whole = (tmp_path / "whole.h5").read_bytes()
        (tmp_path / "half.h5").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(invcore.DataError, match="damaged"):
            io.load_reconstruction(tmp_path / "half.h5")


class TestNifti:
    def test_axes_and_voxel_size(self, tmp_path):
        nibabel = pytest.importorskip("nibabel")
        x = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 1, 3, 4, 5) * (1 + 1j)
        io.save_nifti(tmp_path / "a.nii.gz", x, spatial_dims=3, voxel_size=(3.0, 2.0, 1.0))
        image = nibabel.load(tmp_path / "a.nii.gz")
        assert image.shape == (5, 4, 3, 2)
        assert image.header.get_zooms()[:3] == (1.0, 2.0, 3.0)
        np.testing.assert_allclose(image.get_fdata()[4, 3, 2, 1], abs(x[1, 0, 2, 3, 4]), rtol=1e-6)
        io.save_nifti(tmp_path / "b.nii", x[0, :, 0], part="complex")
        image = nibabel.load(tmp_path / "b.nii")
        assert image.shape == (5, 4, 1)
        np.testing.assert_array_equal(np.asarray(image.dataobj)[..., 0], x[0, 0, 0].T)
        io.save_nifti(tmp_path / "c.nii", x[0, :, 0], part="phase")
        assert np.isclose(nibabel.load(tmp_path / "c.nii").get_fdata().max(), np.pi / 4)

    def test_errors(self, tmp_path):
        pytest.importorskip("nibabel")
        x = torch.ones(1, 4, 4)
        with pytest.raises(invcore.ParameterError, match=r"\.nii"):
            io.save_nifti(tmp_path / "a.img", x)
        with pytest.raises(invcore.ParameterError, match="voxel_size"):
            io.save_nifti(tmp_path / "a.nii", x, voxel_size=(1.0, 1.0, 1.0))
        with pytest.raises(invcore.ShapeError):
            io.save_nifti(tmp_path / "a.nii", x[0])
        assert os.listdir(tmp_path) == []

    def test_placed_in_the_patient(self, tmp_path):
        """The voxel at index n // 2 is at the center; DICOM's left and posterior are NIfTI's - and -."""
        nibabel = pytest.importorskip("nibabel")
        placed = io.Placement(
            center=(0.01, 0.02, 0.03), directions=((0, 0, -1), (0, 1, 0), (1, 0, 0)), thickness=0.005
        )
        io.save_nifti(tmp_path / "a.nii", torch.ones(1, 6, 4), voxel_size=(2.0, 1.0), placement=placed)
        image = nibabel.load(tmp_path / "a.nii")
        np.testing.assert_allclose(image.affine @ [2, 3, 0, 1], [-10, -20, 30, 1], atol=1e-5)
        np.testing.assert_allclose(image.affine @ [2, 4, 0, 1], [-10, -20, 28, 1], atol=1e-5)  # a row down
        np.testing.assert_allclose(image.affine @ [3, 3, 0, 1], [-10, -21, 30, 1], atol=1e-5)
        assert image.header.get_zooms()[:3] == pytest.approx((1, 2, 5))
        assert nibabel.aff2axcodes(image.affine) == ("P", "I", "L")
        volume = torch.ones(1, 3, 6, 4)
        io.save_nifti(
            tmp_path / "b.nii", volume, spatial_dims=3, voxel_size=(3.0, 2.0, 1.0), placement=placed
        )
        affine = nibabel.load(tmp_path / "b.nii").affine
        np.testing.assert_allclose(affine @ [2, 3, 1, 1], [-10, -20, 30, 1], atol=1e-5)
        np.testing.assert_allclose(affine @ [2, 3, 2, 1], [-10, -20, 27, 1], atol=1e-5)
        with pytest.raises(invcore.DataError, match="right angles"):
            io.Placement(center=(0.0, 0.0, 0.0), directions=((1, 0, 0), (1, 0, 0), (0, 0, 1)))

    def test_dicom_is_where_nifti_is(self, tmp_path):
        pydicom, nibabel = pytest.importorskip("pydicom"), pytest.importorskip("nibabel")
        placed = io.Placement(center=(0.01, 0.02, 0.03), directions=((0, 0, -1), (0, 1, 0), (1, 0, 0)))
        x = torch.rand(1, 3, 6, 4, generator=torch.Generator().manual_seed(0)) * 7e-6
        files = io.save_dicom(
            tmp_path / "a.dcm", x, spatial_dims=3, voxel_size=(0.003, 0.002, 0.001), placement=placed
        )
        io.save_nifti(tmp_path / "a.nii", x, spatial_dims=3, voxel_size=(3.0, 2.0, 1.0), placement=placed)
        affine = nibabel.load(tmp_path / "a.nii").affine
        assert [file.name for file in files] == ["a-0001.dcm", "a-0002.dcm", "a-0003.dcm"]
        for z, file in enumerate(files):
            data = pydicom.dcmread(file)
            values = data.pixel_array * float(data.RescaleSlope)
            np.testing.assert_allclose(values, x[0, z], atol=2e-10)
            across, down = np.split(np.array(data.ImageOrientationPatient, float), 2)
            dy, dx = map(float, data.PixelSpacing)
            at = np.array(data.ImagePositionPatient, float) + 3 * dx * across + 5 * dy * down
            np.testing.assert_allclose([-at[0], -at[1], at[2]], (affine @ [3, 5, z, 1])[:3], atol=1e-4)
        with pytest.raises(invcore.ShapeError, match="one image"):
            io.save_dicom(tmp_path / "b.dcm", x.expand(2, 3, 6, 4), voxel_size=(1, 1), placement=placed)

    def test_without_nibabel(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "nibabel", None)
        with pytest.raises(invcore.MissingDependencyError, match=r'pip install "invcore\[io\]"'):
            io.save_nifti(tmp_path / "a.nii", torch.ones(1, 4, 4))
        assert os.listdir(tmp_path) == []


def png_pixels(path):
    from matplotlib.image import imread

    return np.asarray(imread(path))


class TestPng:
    def test_one_pixel_per_pixel(self, tmp_path):
        x = torch.linspace(0, 1, 30).reshape(1, 5, 6)
        window = io.save_png(tmp_path / "a.png", x, window=(0.0, 1.0))
        assert window == (0.0, 1.0)
        pixels = png_pixels(tmp_path / "a.png")
        assert pixels.shape[:2] == (5, 6)
        np.testing.assert_allclose(pixels[..., 0], x[0].numpy(), atol=1 / 200)

    def test_phase_is_cyclic(self, tmp_path):
        x = torch.polar(torch.ones(1, 1, 2), torch.tensor([[[np.pi - 1e-3, -np.pi + 1e-3]]]))
        io.save_png(tmp_path / "a.png", x, part="phase")
        left, right = png_pixels(tmp_path / "a.png")[0]
        np.testing.assert_allclose(left, right, atol=0.02)

    def test_montage_constant_and_not_a_number(self, tmp_path):
        io.save_png(tmp_path / "a.png", torch.ones(2, 1, 4, 5, 6), spatial_dims=3)
        assert png_pixels(tmp_path / "a.png").shape[:2] == (2 * 5 + 2, 3 * 6 + 2 * 2)
        io.save_png(tmp_path / "b.png", torch.full((1, 3, 3), float("nan")))
        red, green = png_pixels(tmp_path / "b.png")[0, 0, :2]
        assert red > 0.7 > 0.3 > green
        io.save_png(tmp_path / "c.png", torch.zeros(1, 3, 3))
        assert (png_pixels(tmp_path / "c.png")[..., :3] == 0).all()
        with pytest.raises(invcore.ParameterError, match="part"):
            io.save_png(tmp_path / "d.png", torch.zeros(1, 3, 3), part="real")


class TestProvenance:
    def test_everything_is_json_and_says_what_was_used(self):
        solver = {"maps": torch.ones(8, 4, 4) * 1j, "weight": float("inf"), "metric": invcore.metric("nmse")}
        record = io.provenance(
            command=["invcore", "reconstruct", "my file.cfl"],
            seed=7,
            components={"solver": "fista"},
            parameters={"solver": solver, "denoiser": invcore.denoiser("wavelet")},
            data={"voxel": np.float32(0.5), "path": __import__("pathlib").Path("a") / "b"},
        )
        assert json.loads(json.dumps(record, allow_nan=False)) == record
        assert record["command"] == "invcore reconstruct 'my file.cfl'"
        assert record["versions"].keys() == {"invcore", "torch", "numpy", "python"}
        assert record["plugins"]["invcore"] == invcore.__version__
        assert record["parameters"]["solver"]["metric"]["fit"] == "none"
        assert record["parameters"]["solver"]["weight"] == "inf"
        assert record["parameters"]["denoiser"]["wavelet"] == "db4"
        assert record["data"] == {"voxel": 0.5, "path": "a/b"}
        maps = record["parameters"]["solver"]["maps"]
        assert maps["shape"] == [8, 4, 4] and maps["dtype"] == "complex64" and len(maps["sha256"]) == 16

    def test_the_hash_follows_the_values(self):
        def digest(t):
            return io.provenance(parameters={"t": t})["parameters"]["t"]["sha256"]

        x = torch.arange(6.0).reshape(2, 3)
        assert digest(x) == digest(x.clone()) == digest(x.T.contiguous().T) == digest(x.numpy())
        assert digest(x) != digest(x + 1)
        assert digest((x + 1j).conj()) == digest(x - 1j)
        assert digest(x.bfloat16()) != digest(x[:, :2])

    def test_no_names_of_machine_or_user(self):
        import getpass
        import platform

        text = json.dumps(io.provenance())
        assert platform.node() not in text.split('"')
        assert getpass.getuser() not in text.split('"')

    def test_odd_values(self):
        endless = []
        endless.append(endless)
        record = io.provenance(
            parameters={
                "f": torch.relu,
                "o": object(),
                "b": b"xy",
                "s": {3, 1},
                "n": torch.nn.Linear(2, 1),
                "e": endless,
            }
        )["parameters"]
        json.dumps(record)
        assert record["s"] == [1, 3] and record["o"] == "object" and record["b"]["bytes"] == 2
        assert record["n"]["weights"]["weight"]["shape"] == [1, 2]


def test_importing_invcore_io_loads_no_plotting():
    code = (
        "import invcore.io, invcore.report, sys; "
        "print([m for m in ('matplotlib', 'nibabel') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class TestFinite:
    @pytest.mark.parametrize("where", ["y", "operator"])
    def test_what_a_reader_made_infinite_is_refused_by_name(self, where, tmp_path, monkeypatch):
        """A sample near 1e38 overflows when it is divided by the noise, after the reader's own check."""
        huge = torch.full((1, 4, 4), 1e38) / 1e-3
        fine = torch.ones(1, 4, 4)
        mask = invcore.operators.Mask(huge if where == "operator" else fine, domain=(1, 4, 4))
        found = io.Acquisition(y=huge if where == "y" else fine, physics=invcore.Physics(mask))

        class Overflowing(io.Reader):
            def sniff(self, path):
                return True

            def _read(self, path, options):
                return found

        monkeypatch.setattr("invcore.io._read.create", lambda *args, **kwargs: Overflowing())
        with pytest.raises(invcore.DataError, match=rf"a\.dat: .*{where}.* NaN or infinite"):
            io.read(file(tmp_path, "a.dat"), format="x")

    def test_a_pipe_is_refused_before_a_reader_waits_for_it(self, tmp_path):
        os.mkfifo(tmp_path / "a.tif")
        for how in ({}, {"format": "x"}):
            with pytest.raises(invcore.InvcoreError, match="named pipe|no reader"):
                io.read(tmp_path / "a.tif", **how)
