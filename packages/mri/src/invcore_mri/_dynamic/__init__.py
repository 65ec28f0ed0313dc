"""Series of images: operators and priors along time, and reconstructions that use them."""
