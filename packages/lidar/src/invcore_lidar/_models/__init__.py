"""Forward models: photon rates, detectors, their likelihoods."""
