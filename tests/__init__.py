"""Tests of imgclf-dagster; a package, because others install one of this name beside us."""
