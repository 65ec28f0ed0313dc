"""Sample files of every format, for the conformance kit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from .._data.arrays import simulate, vla
from .._data.visibilities import Visibilities
from .._demo import RadioGalaxyObservation
from .._io.uvfits_writer import write_uvfits

Writers = dict[str, Callable[[Path], Path]]


def _sample(polarizations: tuple[str, ...], frequencies: tuple[float, ...]) -> Visibilities:
    """Return a point source beside the phase center, observed by six antennas."""
    image = torch.zeros(1, 16, 16)
    image[0, 5, 9] = 1.5
    array = vla("D", antennas=6)
    one = array.observe(hour_angles=(-1.0, 1.0), interval=1200.0, frequencies=frequencies, sigma=0.1)
    one = simulate(one, image, pixel=1e-4, generator=torch.Generator().manual_seed(0))
    all_hands = array.observe(
        hour_angles=(-1.0, 1.0),
        interval=1200.0,
        frequencies=frequencies,
        sigma=0.1,
        polarizations=polarizations,
        source="SAMPLE",
    )
    flag = torch.zeros_like(all_hands.flag)
    flag[3] = True
    return all_hands.replace(data=one.data.expand_as(all_hands.data).clone(), flag=flag)


def uvfits() -> Writers:
    """Return functions that write UVFITS files into a folder."""

    def circular(folder: Path) -> Path:
        write_uvfits(folder / "scan.uvfits", _sample(("RR", "LL"), (1.4e9,)))
        return folder / "scan.uvfits"

    def linear(folder: Path) -> Path:
        write_uvfits(folder / "bands.uvfits", _sample(("XX", "YY", "XY", "YX"), (1.3e9, 1.4e9, 1.6e9)))
        return folder / "bands.uvfits"

    return {"circular": circular, "linear, uneven channels": linear}


def ms() -> Writers:
    """Return a function that writes a Measurement Set into a folder."""

    def plain(folder: Path) -> Path:
        path = folder / "scan.ms"
        write_sample_set(path, _sample(("XX", "XY", "YX", "YY"), (1.4e9, 1.41e9)))
        return path

    return {"plain": plain}


def write_sample_set(path: Path, vis: Visibilities) -> None:
    """Write a Measurement Set of one field and one spectral window, with casacore alone."""
    from casacore.tables import default_ms, makearrcoldesc, maketabdesc, table

    codes = {"I": 1, "RR": 5, "RL": 6, "LR": 7, "LL": 8, "XX": 9, "XY": 10, "YX": 11, "YY": 12}
    shape = list(vis.data.shape[1:])
    column = makearrcoldesc("DATA", 0j, valuetype="complex", ndim=2, shape=shape)
    with default_ms(str(path), maketabdesc(column)) as main:
        main.addrows(len(vis))
        rows = {
            "UVW": -vis.uvw.numpy(),
            "DATA": vis.data.numpy().astype(np.complex64),
            "FLAG": vis.flag.numpy(),
            "WEIGHT": vis.weight[:, 0].float().numpy(),
            "SIGMA": vis.weight[:, 0].float().rsqrt().numpy(),
            "ANTENNA1": vis.antenna1.numpy().astype(np.int32),
            "ANTENNA2": vis.antenna2.numpy().astype(np.int32),
            "TIME": vis.time.numpy(),
            "TIME_CENTROID": vis.time.numpy(),
            "INTERVAL": vis.interval.numpy(),
            "EXPOSURE": vis.interval.numpy(),
        }
        for name, values in rows.items():
            main.putcol(name, values)
        for name in ("FIELD_ID", "DATA_DESC_ID", "SCAN_NUMBER"):
            main.putcol(name, np.zeros(len(vis), np.int32))
        main.putcol("FLAG_ROW", np.zeros(len(vis), bool))

    def fill(name: str, count: int, **columns: object) -> None:
        with table(f"{path}/{name}", readonly=False, ack=False) as sub:
            sub.addrows(count)
            for key, values in columns.items():
                sub.putcol(key, values)

    n = len(vis.antenna_names)
    assert vis.antenna_positions is not None
    fill(
        "ANTENNA",
        n,
        NAME=list(vis.antenna_names),
        POSITION=vis.antenna_positions.numpy(),
        DISH_DIAMETER=np.full(n, 25.0),
    )
    direction = np.array(vis.phase_center).reshape(1, 1, 2)
    fill("FIELD", 1, NAME=[vis.source], PHASE_DIR=direction, DELAY_DIR=direction, REFERENCE_DIR=direction)
    width = np.full((1, shape[0]), 1e6) if vis.channel_width is None else vis.channel_width.numpy()[None]
    frequencies = vis.frequencies.numpy()[None]
    fill(
        "SPECTRAL_WINDOW", 1, CHAN_FREQ=frequencies, CHAN_WIDTH=width, NUM_CHAN=np.array([shape[0]], np.int32)
    )
    kinds = np.array([[codes[p] for p in vis.polarizations]], np.int32)
    fill("POLARIZATION", 1, CORR_TYPE=kinds, NUM_CORR=np.array([shape[1]], np.int32))
    zero = np.zeros(1, np.int32)
    fill("DATA_DESCRIPTION", 1, SPECTRAL_WINDOW_ID=zero, POLARIZATION_ID=zero)
    fill("OBSERVATION", 1, TELESCOPE_NAME=[vis.telescope])


def galaxy() -> dict[str, object]:
    """Return simulated observations."""
    return {"small": RadioGalaxyObservation(antennas=6, hours=1.0)}
