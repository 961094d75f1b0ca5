"""Benchmarks of the product, with limits and peers. ``python -m benchmarks`` runs them all."""
