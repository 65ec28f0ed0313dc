"""A frozen value holds a network and calls it live."""

import pytest
import torch

import invcore
from invcore import Physics
from invcore.models import GaussianRestorer
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Mask
from invcore_learning import ArtifactRemoval, NetworkDenoiser, UNet


def test_gradients_reach_the_weights_through_a_solver():
    D = NetworkDenoiser(torch.nn.Conv2d(1, 1, 3, padding=1), blind=True)
    solver = invcore.solver(
        "pgd", prior=invcore.prior("pnp", denoiser=D, sigma=0.1), weight=1.0, max_steps=3, rtol=0
    )
    assert list(solver.networks()) == ["prior.denoiser.network"]
    physics = Physics(Mask(torch.ones(1, 6, 6), (1, 6, 6)), GaussianNoise(sigma=0.1))
    solver.solve(torch.ones(1, 6, 6), physics, differentiate="unroll").value.sum().backward()
    assert D.network.weight.grad.abs().sum() > 0


def test_a_network_of_other_dimensions_is_refused():
    with pytest.raises(invcore.ParameterError, match="spatial_dims=3"):
        NetworkDenoiser(UNet(features=(2, 4), spatial_dims=3))
    D = NetworkDenoiser(UNet(features=(2, 4), spatial_dims=3, blocks=1), spatial_dims=3)
    assert D(torch.zeros(2, 1, 4, 5, 6), 0.1).shape == (2, 1, 4, 5, 6)


def test_moving_a_value_copies_its_network_only_if_it_moves():
    D = NetworkDenoiser(torch.nn.Conv2d(1, 1, 3), blind=True)
    assert D.to(torch.float32).network is D.network
    wide = D.to(torch.float64)
    assert wide.network.weight.dtype == torch.float64
    assert D.network.weight.dtype == torch.float32


def test_weights_in_double_precision_stay_so(tmp_path):
    network = UNet(features=(4, 8)).double()
    x = torch.rand(1, 8, 8, dtype=torch.float64)
    path = invcore.models.save(network, tmp_path / "m.safetensors")
    assert torch.equal(invcore.model(path)(x), network(x))


def test_weights_that_do_not_fit_the_description_are_refused(tmp_path):
    path = invcore.models.save(ArtifactRemoval(UNet(features=(4, 8))), tmp_path / "m.safetensors")
    assert isinstance(invcore.model(path).network, UNet)
    path.write_bytes(path.read_bytes().replace(b"[4, 8]", b"[4, 9]"))
    with pytest.raises(invcore.DataError, match="do not fit ArtifactRemoval"):
        invcore.model(path)


def test_a_reconstruction_of_ones_own_is_the_inversion_and_is_saved(tmp_path):
    B = GaussianRestorer(mean=torch.zeros(1, 6, 6), spectrum=torch.full((1, 1, 1), 3.0))
    model = ArtifactRemoval(UNet(features=(4, 8)), inversion=B)
    physics = Physics(Identity((1, 6, 6)), GaussianNoise(sigma=1.0))
    y = torch.ones(2, 1, 6, 6)
    assert torch.allclose(model(y, physics), 0.75 * y, atol=1e-5)  # the network starts as the identity
    opened = invcore.model(invcore.models.save(model, tmp_path / "m.safetensors"))
    assert torch.equal(opened(y, physics), model.eval()(y, physics))
    with pytest.raises(invcore.ParameterError, match="callable as"):
        ArtifactRemoval(UNet(features=(4, 8)), inversion="best")
