"""Files of the Hugging Face hub, served on loopback."""

import hashlib
import http.server
import socket
import threading

import pytest
import torch

import invcore
from invcore_diffusion import from_diffusers, hub

pytest.importorskip("huggingface_hub")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A repository ``lab/prior`` with one commit: its files, and the requests so far."""
    folder, requests = tmp_path / "repository", []
    folder.mkdir()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(False)

        def do_GET(self):
            self.answer(True)

        def answer(self, body):
            requests.append(self.path)
            prefix = f"/lab/prior/resolve/{COMMIT}/"
            path = folder / self.path.removeprefix(prefix)
            if not self.path.startswith(prefix) or not path.is_file():
                known = self.path.startswith("/lab/prior/")
                reason = "RevisionNotFound" if known else "RepoNotFound"
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound" if self.path.startswith(prefix) else reason)
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = path.read_bytes()
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield folder, requests
    server.shutdown()
    server.server_close()


@pytest.fixture
def unreachable(monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between retries
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")


def digest(data):
    return hashlib.sha256(data).hexdigest()


def test_file_is_fetched_once(served, tmp_path):
    folder, requests = served
    (folder / "w.bin").write_bytes(b"weights")
    where = {"revision": COMMIT, "cache": tmp_path / "cache"}
    path = hub("lab/prior", "w.bin", sha256=digest(b"weights"), **where)
    assert path.read_bytes() == b"weights" and requests
    requests.clear()
    assert hub("lab/prior", "w.bin", sha256=digest(b"weights").upper(), **where) == path
    assert requests == []


def test_cache_serves_without_network(served, tmp_path, monkeypatch):
    folder, _ = served
    (folder / "w.bin").write_bytes(b"weights")
    where = {"revision": COMMIT, "cache": tmp_path / "cache"}
    path = hub("lab/prior", "w.bin", **where)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert hub("lab/prior", "w.bin", **where) == path


def test_no_network_is_said(unreachable, tmp_path):
    with pytest.raises(invcore.DataError, match="no network to fetch it"):
        hub("lab/prior", "w.bin", revision=COMMIT, cache=tmp_path)


def test_wrong_hash_is_refused(served, tmp_path):
    folder, _ = served
    (folder / "w.bin").write_bytes(b"other weights")
    for _ in range(2):  # also from the cache
        with pytest.raises(invcore.DataError, match=r"SHA-256 is .* not opened"):
            hub("lab/prior", "w.bin", revision=COMMIT, sha256=digest(b"weights"), cache=tmp_path)


def test_what_is_not_there_is_named(served, tmp_path):
    with pytest.raises(invcore.DataError, match=r"has no file w\.bin in its commit"):
        hub("lab/prior", "w.bin", revision=COMMIT, cache=tmp_path)
    with pytest.raises(invcore.DataError, match="lab/prior at ffff"):
        hub("lab/prior", "w.bin", revision="f" * 40, cache=tmp_path)
    with pytest.raises(invcore.DataError, match="lab/nothing at 0123"):
        hub("lab/nothing", "w.bin", revision=COMMIT, cache=tmp_path)


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:8], COMMIT.upper()])
def test_revisions_that_may_move_are_refused(revision, tmp_path):
    with pytest.raises(invcore.ParameterError, match="40 hexadecimal digits"):
        hub("lab/prior", "w.bin", revision=revision, cache=tmp_path)


def test_names_that_are_none_are_refused(tmp_path):
    with pytest.raises(invcore.ParameterError, match="hub: "):
        hub("not//a name", "w.bin", revision=COMMIT, cache=tmp_path)


@pytest.mark.parametrize("flat", [False, True])
def test_pipeline_from_the_hub(served, tmp_path, monkeypatch, flat):
    diffusers = pytest.importorskip("diffusers")
    folder, requests = served
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    ).eval()
    network.save_pretrained(folder if flat else folder / "unet")
    diffusers.DDPMScheduler().save_config(folder if flat else folder / "scheduler")
    weights = folder / ("" if flat else "unet") / "diffusion_pytorch_model.safetensors"
    where = {"revision": COMMIT, "cache": tmp_path / "cache", "sha256": digest(weights.read_bytes())}
    D = from_diffusers("lab/prior", **where)
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(D(x, 0.5), from_diffusers(folder)(x, 0.5))
    with pytest.raises(invcore.DataError, match="SHA-256"):
        from_diffusers("lab/prior", **(where | {"sha256": "0" * 64}))
    requests.clear()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert torch.equal(from_diffusers("lab/prior", **where)(x, 0.5), D(x, 0.5))
