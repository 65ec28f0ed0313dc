"""Folders of images, and public sets on a disk."""

import functools
import hashlib
import http.server
import threading
import zipfile

import numpy as np
import PIL.Image
import pytest
import torch

from invcore import DataError, ParameterError
from invcore_learning import ImageFolder, public_images
from invcore_learning._data import public


def write(folder, *names, color=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        g = torch.Generator().manual_seed(len(name))
        pixels = torch.randint(256, (6, 8, 3) if color else (6, 8), generator=g, dtype=torch.uint8)
        PIL.Image.fromarray(pixels.numpy()).save(folder / name)
    return folder


def test_order_is_natural_and_other_files_are_left_out(tmp_path):
    write(tmp_path, "img10.png", "img2.png", "IMG1.png")
    (tmp_path / "notes.txt").write_text("no image")
    assert [p.name for p in ImageFolder(tmp_path).files] == ["IMG1.png", "img2.png", "img10.png"]


def test_gray_and_color(tmp_path):
    write(tmp_path / "c", "a.png", color=True)
    write(tmp_path / "g", "a.png")
    rgb = ImageFolder(tmp_path / "c")[0]
    gray = ImageFolder(tmp_path / "c", color="gray")[0]
    assert rgb.shape == (3, 6, 8)
    assert torch.allclose(gray[0], 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2])
    assert ImageFolder(tmp_path / "g", color="rgb")[0].shape == (3, 6, 8)


def test_crop_is_the_middle(tmp_path):
    write(tmp_path, "a.png")
    whole = ImageFolder(tmp_path)[0]
    assert torch.equal(ImageFolder(tmp_path, crop=4)[0], whole[:, 1:5, 2:6])
    with pytest.raises(DataError, match=r"a\.png has \(6, 8\) pixels: no square of side 7"):
        ImageFolder(tmp_path, crop=7)[0]


def test_bright_images_need_a_peak(tmp_path):
    pixels = np.full((4, 4), 65535, np.uint16)
    PIL.Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="values up to 65535: give peak="):
        ImageFolder(tmp_path)[0]
    assert torch.equal(ImageFolder(tmp_path, peak=65535)[0], torch.ones(1, 4, 4))
    assert torch.equal(ImageFolder(tmp_path, peak=1)[0], torch.full((1, 4, 4), 65535.0))


def test_an_empty_or_absent_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        ImageFolder(tmp_path / "absent")
    with pytest.raises(DataError, match=r"no image in it matches '\*\*/\*'"):
        ImageFolder(tmp_path)


def test_a_damaged_image_is_named(tmp_path):
    path = write(tmp_path, "a.png") / "a.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"a\.png"):
        ImageFolder(tmp_path)[0]


def test_a_public_set_must_be_complete(tmp_path):
    write(tmp_path / "Set5", *(f"{i}.png" for i in range(4)))
    with pytest.raises(DataError, match="has 4 images, set5 all has 5"):
        public_images("set5", tmp_path)
    write(tmp_path / "Set5", "4.png")
    assert len(public_images("set5", tmp_path)) == 5
    assert len(public_images("set5", tmp_path / "Set5")) == 5


def test_a_missing_set_says_where_it_is(tmp_path):
    with pytest.raises(DataError, match=r"license: academic research.*no archive may be fetched"):
        public_images("div2k", tmp_path, split="val", download=True)
    with pytest.raises(DataError, match="or pass download=True"):
        public_images("bsds500", tmp_path, split="train")
    with pytest.raises(ParameterError, match="has the splits train, val, got None"):
        public_images("div2k", tmp_path)
    with pytest.raises(ParameterError, match="there is no set 'dvi2k'"):
        public_images("dvi2k", tmp_path)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A set whose archive is on a server of this machine."""
    pytest.importorskip("pooch", reason="pooch is not installed")
    pages = write(tmp_path / "pages", *(f"{i}.png" for i in range(3)))
    archive = pages / "tiny.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for i in range(3):
            file.write(pages / f"{i}.png", f"Tiny/{i}.png")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=pages)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def register(known_hash):
        url = f"http://127.0.0.1:{server.server_port}/tiny.zip"
        source = public.Source("Tiny", "nowhere", "free", {"all": (("Tiny",), 3)}, url, known_hash)
        monkeypatch.setitem(public.SOURCES, "tiny", source)

    yield register, hashlib.sha256(archive.read_bytes()).hexdigest()
    server.shutdown()


def test_a_set_is_fetched_once(served, tmp_path):
    register, digest = served
    register(f"sha256:{digest}")
    assert len(public_images("tiny", tmp_path / "data", download=True)) == 3
    register("sha256:" + "0" * 64)
    assert len(public_images("tiny", tmp_path / "data", download=True)) == 3  # it is there


def test_an_archive_with_another_hash_is_refused(served, tmp_path):
    register, _ = served
    register("sha256:" + "0" * 64)
    with pytest.raises(DataError, match="could not be fetched"):
        public_images("tiny", tmp_path / "data", download=True)
    assert not list((tmp_path / "data").rglob("*.png"))


def test_a_fetch_that_ended_while_it_unpacked_is_done_again(served, tmp_path, monkeypatch):
    """Pictures appear all together: half of an archive is never taken for the set."""
    register, digest = served
    register(f"sha256:{digest}")
    whole = zipfile.ZipFile.extractall

    def ended(self, path):
        self.extract("Tiny/0.png", path)
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "extractall", ended)
    with pytest.raises(KeyboardInterrupt):
        public_images("tiny", tmp_path / "data", download=True)
    assert not (tmp_path / "data" / "Tiny").exists()
    monkeypatch.setattr(zipfile.ZipFile, "extractall", whole)
    assert len(public_images("tiny", tmp_path / "data", download=True)) == 3
