"""Forward models: photon rates, detectors, likelihoods."""
