"""What a hostile or damaged HDF5 file cannot do: name other files, declare what it does not hold, expand."""

import os
import socket
import zlib

import h5py
import numpy as np
import pytest

from invcore import DataError
from invcore.io import (
    is_hdf5,
    open_hdf5,
    own_dataset,
    own_text,
    own_values,
    regular_file,
    room_for,
    write_hdf5,
)

VALUES = np.arange(12.0).reshape(3, 4)


@pytest.fixture
def file(tmp_path):
    """An open file with an array, and a second one beside it that is not to be read unasked."""
    with h5py.File(tmp_path / "private.h5", "w") as other:
        other["x"] = 7 * VALUES
    with h5py.File(tmp_path / "a.h5", "w") as held:
        held["raw/values"] = VALUES
        yield held


def virtual(file, name, source, place, shape=(3, 4), part=np.s_[:]):
    layout = h5py.VirtualLayout(shape, "f8")
    layout[part] = h5py.VirtualSource(source, place, shape=(3, 4))
    file.create_virtual_dataset(name, layout)


class TestLinks:
    def test_soft_links_and_virtual_data_inside_the_file_are_followed(self, file):
        file["soft"] = h5py.SoftLink("/raw/values")
        file["raw/relative"] = h5py.SoftLink("values")
        file["folder"] = h5py.SoftLink("raw")
        virtual(file, "dot", ".", "raw/values")
        virtual(file, "named", "a.h5", "/soft")
        for name in ("soft", "raw/relative", "folder/values", "folder/./relative", "dot", "named"):
            np.testing.assert_array_equal(own_values(own_dataset(file, name)), VALUES)

    def test_what_lies_in_another_file_is_read_only_when_asked_and_beside_it(self, file, tmp_path):
        file["link"] = h5py.ExternalLink("private.h5", "/x")
        virtual(file, "virtual", "private.h5", "x")
        virtual(file, "chain", ".", "link")
        for name in ("link", "virtual", "chain"):
            with pytest.raises(DataError, match=f"{name if name != 'chain' else 'link'}.*not followed"):
                own_dataset(file, name)
            np.testing.assert_array_equal(own_values(own_dataset(file, name, external=True)), 7 * VALUES)
        (tmp_path / "away").mkdir()
        os.rename(tmp_path / "private.h5", tmp_path / "away" / "private.h5")
        os.symlink(tmp_path / "away" / "private.h5", tmp_path / "private.h5")
        file["path"] = h5py.ExternalLink("away/private.h5", "/x")
        for name in ("link", "path"):
            with pytest.raises(DataError, match="not in the same folder"):
                own_dataset(file, name, external=True)

    def test_raw_files_circles_and_loose_ends_are_errors_that_name_them(self, file):
        file.create_dataset("raw_file", (3,), "f8", external=[("/etc/passwd", 0, 24)])
        file["loop"], file["loose"] = h5py.SoftLink("loop"), h5py.SoftLink("/no/such")
        virtual(file, "itself", ".", "itself")
        virtual(file, "one", ".", "two")
        virtual(file, "two", ".", "one")
        virtual(file, "source", ".", "no_such")
        for name, message in {
            "raw_file": "raw files",
            "loop": "circle",
            "loose": "'/no/such', where there is nothing",
            "itself": "from itself",
            "one": "from itself",
            "source": "where there is no array",
        }.items():
            with pytest.raises(DataError, match=message):
                own_dataset(file, name)

    def test_a_reference_is_followed_to_data_of_the_file_only(self, file):
        file.create_dataset("refs", (2,), dtype=h5py.ref_dtype)[0] = file["raw/values"].ref
        file.create_dataset("raw_file", (3,), "f8", external=[("/etc/passwd", 0, 24)])
        assert own_dataset(file, file["refs"][0]).name == "/raw/values"
        assert own_dataset(file, file["refs"][1]) is None
        with pytest.raises(DataError, match="raw files"):
            own_dataset(file, file["raw_file"].ref)


class TestSizes:
    @pytest.mark.parametrize("how", [{"chunks": (100, 100)}, {"chunks": (100, 100), "compression": 1}, {}])
    def test_an_array_declares_no_more_than_the_file_holds(self, file, how):
        file.create_dataset("sparse", (10**6, 10**5), "f4", **how)
        with pytest.raises(DataError, match="incomplete"):
            own_dataset(file, "sparse")

    def test_a_virtual_array_declares_no_more_than_its_sources_hold(self, file):
        virtual(file, "huge", ".", "raw/values", shape=(10**6, 10**5), part=np.s_[:3, :4])
        with pytest.raises(DataError, match="sources hold 96"):
            own_dataset(file, "huge")
        virtual(file, "gap", ".", "raw/values", shape=(4, 4), part=np.s_[:3])  # as between detector modules
        assert own_dataset(file, "gap").shape == (4, 4)

    def test_expansion_is_bounded(self, file):
        packed = zlib.compress(bytes(2**24), 1)
        bomb = file.create_dataset("bomb", (17, 2**24), "u1", chunks=(1, 2**24), compression=1)
        small = file.create_dataset("small", (2, 2**24), "u1", chunks=(1, 2**24), compression=1)  # as a mask
        for data in (bomb, small):
            for i in range(len(data)):
                data.id.write_direct_chunk((i, 0), packed)
        with pytest.raises(DataError, match="more than 100 times"):
            own_dataset(file, "bomb")
        assert small.id.get_storage_size() < 200_000
        assert not own_values(own_dataset(file, "small"), np.s_[1, :2]).any()
        with pytest.raises(DataError, match="up to 1000 are read"):
            own_dataset(file, "small", max_bytes=1000)

    def test_more_than_the_memory_is_refused_before_it_is_allocated(self):
        with pytest.raises(DataError, match=r"scan needs 1000000000.0 GB"):
            room_for(10**18, "scan")


class TestText:
    def test_texts_of_any_storage_and_nothing_else(self, file):
        file["variable"], file["fixed"] = "größer", np.bytes_("plain")
        file.create_dataset("packed", data=["x"], dtype=h5py.string_dtype(), chunks=(1,), compression=1)
        file.flush()
        assert [own_text(file, n) for n in ("variable", "fixed", "packed")] == ["größer", "plain", "x"]
        assert own_text(file, "raw/values") is None and own_text(file, "absent") is None
        file["long"] = "x" * 100_000
        file.flush()
        with pytest.raises(DataError, match="100000 bytes"):
            own_text(file, "long", max_bytes=1000)

    def test_a_text_that_points_out_of_the_file_is_damage(self, tmp_path):
        path = tmp_path / "t.h5"
        with h5py.File(path, "w") as file:
            file["name"] = "hello"
            place = file["name"].id.get_offset()
        whole = bytearray(path.read_bytes())
        heap = int.from_bytes(whole[place + 4 : place + 12], "little")
        for at, number in ((place + 4, 10**6), (heap + 8, 2**30), (place, 2**31)):
            damaged = whole.copy()
            damaged[at : at + 4] = number.to_bytes(4, "little")
            path.write_bytes(damaged)
            with pytest.raises(DataError, match=r"t.h5"), open_hdf5(path) as file:
                own_text(file, "name")


class TestOpen:
    def test_damage_is_named_and_our_own_mistakes_are_not_called_damage(self, file, tmp_path):
        file.close()
        whole = (tmp_path / "a.h5").read_bytes()
        for keep in (0, 7, 200, len(whole) - 200):
            (tmp_path / "cut.h5").write_bytes(whole[:keep])
            with pytest.raises(DataError, match=r"cut.h5"), open_hdf5(tmp_path / "cut.h5") as held:
                own_values(held["raw/values"])
        with pytest.raises(KeyError, match="mine"), open_hdf5(tmp_path / "a.h5"):
            {}["mine"]

    def test_only_regular_files_are_opened(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.h5")
        with socket.socket(socket.AF_UNIX) as held:
            held.bind(str(tmp_path / "socket.h5"))
            for name, kind in {
                "pipe.h5": "pipe",
                "socket.h5": "socket",
                "": "folder",
                "none": "no file",
            }.items():
                assert not is_hdf5(tmp_path / name)
                with pytest.raises(DataError, match=kind):
                    regular_file(tmp_path / name)
        with pytest.raises(DataError, match="device"):
            regular_file("/dev/null")


class TestWrite:
    def test_a_file_appears_whole_or_not_at_all(self, tmp_path):
        def fill(file):
            file["x"] = VALUES
            if broken:
                raise ValueError("halfway")

        broken = False
        write_hdf5(tmp_path / "a.h5", fill)
        before, broken = (tmp_path / "a.h5").read_bytes(), True
        with pytest.raises(ValueError, match="halfway"):
            write_hdf5(tmp_path / "a.h5", fill)
        assert (tmp_path / "a.h5").read_bytes() == before and os.listdir(tmp_path) == ["a.h5"]
        with h5py.File(tmp_path / "a.h5") as file:
            np.testing.assert_array_equal(file["x"][()], VALUES)

    def test_bytes_in_front(self, tmp_path):
        write_hdf5(
            tmp_path / "a.mat", lambda file: file.create_dataset("x", data=VALUES), userblock=b"M" * 512
        )
        assert (tmp_path / "a.mat").read_bytes()[:512] == b"M" * 512
        with open_hdf5(tmp_path / "a.mat") as file:
            np.testing.assert_array_equal(own_values(own_dataset(file, "x")), VALUES)


@pytest.mark.parametrize("where", ["text", "attribute"])
def test_a_heap_of_texts_without_end(tmp_path, where):
    """HDF5 walks for ever from an entry of size 0 to itself."""
    path = tmp_path / "heap.h5"
    with h5py.File(path, "w") as file:
        file["name"] = 1.0
        file["name"].attrs["units"] = "degrees"
        file["header"] = "<xml/>"
    with open_hdf5(path) as file:
        assert own_text(file, "header") == "<xml/>" and file["name"].attrs["units"] == "degrees"
    content = path.read_bytes()
    at = content.index(b"GCOL") + 16
    path.write_bytes(content[:at] + bytes(64) + content[at + 64 :])
    with pytest.raises(DataError, match=r"heap\.h5 is damaged: the heap of texts"), open_hdf5(path) as file:
        own_text(file, "header") if where == "text" else file["name"].attrs["units"]


def test_records_whose_fields_overlap(tmp_path):
    """A float of 4 bytes with another exponent becomes one of 8 in NumPy: reading it wrote past the end."""
    path = tmp_path / "records.h5"
    kind = h5py.h5t.create(h5py.h5t.COMPOUND, 8)
    odd = h5py.h5t.IEEE_F32LE.copy()
    odd.set_ebias(1)
    kind.insert(b"r", 0, odd)
    kind.insert(b"i", 4, h5py.h5t.IEEE_F32LE)
    with h5py.File(path, "w") as file:
        h5py.h5d.create(file.id, b"kspace", kind, h5py.h5s.create_simple((64,)))
        file["sound"] = np.zeros(3, [("r", "<f4"), ("i", "<f4")])
    with open_hdf5(path) as file:
        assert own_dataset(file, "sound").shape == (3,)
        with pytest.raises(DataError, match="'kspace' holds records whose fields overlap"):
            own_dataset(file, "kspace")
