"""Models in files: what comes back, and what is refused."""

import json
import struct

import pytest
import torch

import invcore
from invcore import DataError, ParameterError, Physics, UnknownComponentError
from invcore.models import GaussianRestorer, card, load, save
from invcore.operators import Convolution, Identity

safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")


@pytest.fixture
def restorer():
    kernel = torch.full((1, 3), 1 / 3)
    return GaussianRestorer(mean=torch.zeros(1, 8), operator=Convolution(kernel=kernel, domain=(1, 8)).gram)


def test_it_comes_back_with_its_card(restorer, tmp_path):
    path = save(restorer, tmp_path / "model.safetensors", card={"license": "BSD-3-Clause"})
    other = invcore.model(path)
    y, physics = torch.arange(8.0)[None], Physics(Identity((1, 8)))
    assert torch.equal(other(y, physics), restorer(y, physics))
    assert card(path) == {"license": "BSD-3-Clause"}
    assert torch.equal(invcore.model(str(path))(y, physics), other(y, physics))


def test_others_may_read_it_as_any_file(restorer, tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    path = save(restorer, tmp_path / "model.safetensors")
    assert path.stat().st_mode == plain.stat().st_mode


def test_complex_tensors_come_back(tmp_path):
    mean = torch.polar(torch.ones(1, 4), torch.arange(4.0)[None])
    path = save(GaussianRestorer(mean=mean, spectrum=torch.ones(1, 4)), tmp_path / "m.safetensors")
    assert torch.equal(load(path).mean, mean)


def test_a_parameter_may_be_called_kind(tmp_path):
    solver = invcore.solver("fista", prior=invcore.prior("tv", kind="anisotropic"), weight=0.5)
    other = load(save(solver, tmp_path / "m.safetensors"))
    assert (other.prior.kind, other.weight) == ("anisotropic", 0.5)


def test_a_failed_save_leaves_the_old_file(restorer, tmp_path):
    path = save(restorer, tmp_path / "model.safetensors")
    before = path.read_bytes()
    with pytest.raises(ParameterError, match="Linear, which is not registered"):
        save(torch.nn.Linear(2, 2), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_another_hash_is_refused(restorer, tmp_path):
    path = save(restorer, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match=r"SHA-256 is [0-9a-f]{64}, expected 00"):
        load(path, sha256="00")


class Payload:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was executed",))


def test_a_pickle_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    torch.save({"weights": Payload()}, path)
    with pytest.raises(DataError, match="not a safetensors file"):
        load(path)


@pytest.mark.parametrize("keep", [0, 4, 40, 0.5, 0.99])
def test_a_truncated_file_is_refused(restorer, tmp_path, keep):
    path = save(restorer, tmp_path / "model.safetensors")
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(DataError, match="truncated"):
        load(path)


def test_weights_alone_are_refused(tmp_path):
    safetensors.save_file({"a": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match="not what they belong to"):
        load(tmp_path / "w.safetensors")


def described(path, table):
    text = json.dumps({"format": 1, "model": table, "card": {}})
    safetensors.save_file({}, path, {"invcore": text})
    return path


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"kind": "model", "name": "no-such"}, UnknownComponentError, "no model is called 'no-such'"),
        ({"kind": "os", "name": "system"}, DataError, "names no component"),
        ({"class": "os:system", "command": "false"}, DataError, "no value or network of an installed"),
        (
            {"class": "invcore.io:read", "path": "/etc"},
            DataError,
            "no value or network of an installed",
        ),
        ({"kind": "operator", "name": "compressed_sensing"}, DataError, "is no class"),
        (
            {"kind": "prior", "name": "tv", "parameters": {"weight": 1}},
            ParameterError,
            "no parameter 'weight'",
        ),
        ({"tensor": "absent"}, DataError, "names no component"),
    ],
)
def test_a_hostile_description_is_refused(tmp_path, table, error, message):
    with pytest.raises(error, match=message):
        load(described(tmp_path / "m.safetensors", table))


def test_a_deep_description_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    safetensors.save_file({}, path, {"invcore": "[" * 100_000 + "]" * 100_000})
    with pytest.raises(DataError, match="damaged|too deep"):
        load(path)


def test_another_format_is_refused(tmp_path):
    safetensors.save_file({}, tmp_path / "m.safetensors", {"invcore": '{"format": 2}'})
    with pytest.raises(DataError, match="has format 2; this invcore opens 1"):
        load(tmp_path / "m.safetensors")


def test_a_lying_header_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(DataError, match="truncated"):
        load(path)
