"""Data to train on: samples, stores of simulated measurements, folders of images, public sets."""
