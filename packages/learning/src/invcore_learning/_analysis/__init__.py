"""What is known of a network without running it on data: norms of its paths, convexity, manifolds."""
