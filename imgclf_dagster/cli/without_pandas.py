"""PyArrow without pandas, for commands that only read tables."""

import sys


def keep_pandas_out() -> None:
    """Have PyArrow do without pandas, which it imports with the first table that it makes.

    It looks for pandas once: so, once, it finds none. That saves a command that only reads tables
    0.3 CPU seconds. A conversion to pandas looks again, and works.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    # Cython takes `sys.modules["pandas"] = None` for a module.
    sys.meta_path.insert(0, _WithoutPandas)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(_WithoutPandas)


class _WithoutPandas:
    """An importer that knows of no pandas."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is left out", name=name)
