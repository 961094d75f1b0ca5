"""The exports of labelling tools and clouds, one format a file."""
