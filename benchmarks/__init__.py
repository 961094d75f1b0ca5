"""What the product costs, beside a limit and a peer. ``python -m benchmarks`` runs them all."""
