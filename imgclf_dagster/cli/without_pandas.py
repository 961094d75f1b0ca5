"""Keep pandas from being imported by commands that only read tables."""

import sys


def keep_pandas_out() -> None:
    """Make PyArrow's first look for pandas fail.

    PyArrow imports pandas with the first array it makes, which costs 0.3 CPU seconds. A later
    conversion to pandas looks again and works.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    # `sys.modules["pandas"] = None` does not do: Cython would use None as the module.
    sys.meta_path.insert(0, _WithoutPandas)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(_WithoutPandas)


class _WithoutPandas:
    """An import finder that raises ``ModuleNotFoundError`` for pandas."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Refuse to find pandas.

        Args:
            name: of the module that is imported.
            path: not used.
            target: not used.

        Raises:
            ModuleNotFoundError: the module is pandas.
        """
        if name == "pandas":
            raise ModuleNotFoundError("pandas is left out", name=name)
