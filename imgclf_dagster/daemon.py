"""``python -m imgclf_dagster.daemon``: Dagster's daemon, with less work for its databases."""

from dagster._daemon.cli import main

from imgclf_dagster.home.engines import keep_engines
from imgclf_dagster.home.migrations import read_migrations_once

if __name__ == "__main__":
    keep_engines()
    read_migrations_once()
    main()
