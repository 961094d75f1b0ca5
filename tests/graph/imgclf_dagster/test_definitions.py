"""What Dagster loads: a change of it shows as a change of one file."""

import json
import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from imgclf_dagster.definitions import build_definitions
from imgclf_dagster.settings.root import Settings

pytestmark = pytest.mark.graph

SNAPSHOT = Path(__file__).with_name("definitions.snapshot.json")
REFRESH = "IMGCLF_UPDATE_SNAPSHOTS"


@pytest.fixture
def definitions(tmp_path: Path) -> dg.Definitions:
    return build_definitions(Settings(home=tmp_path))


def described(definitions: dg.Definitions) -> dict[str, Any]:
    repository = definitions.get_repository_def()
    graph = repository.asset_graph
    return {
        "assets": {
            spec.key.to_user_string(): {
                "automation_condition": spec.automation_condition.get_label()
                if spec.automation_condition
                else None,
                "code_version": spec.code_version,
                "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
                "description": spec.description,
                "group": spec.group_name,
                "kinds": sorted(spec.kinds),
                "owners": list(spec.owners),
                "partitions": spec.partitions_def.name if spec.partitions_def else None,
                "pool": definitions.resolve_assets_def(spec.key).op.pool,
            }
            for spec in sorted(definitions.resolve_all_asset_specs(), key=lambda spec: spec.key)
        },
        "checks": {
            key.to_user_string(): {
                "asset": key.asset_key.to_user_string(),
                "blocking": graph.get_check_spec(key).blocking,
                "description": graph.get_check_spec(key).description,
            }
            for key in sorted(graph.asset_check_keys)
        },
        "jobs": {
            job.name: sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys)
            for job in sorted(repository.get_all_jobs(), key=lambda job: job.name)
            if not job.name.startswith("__")
        },
        "sensors": {
            sensor.name: {
                "default_status": sensor.default_status.value,
                "description": sensor.description,
                "interval_s": sensor.minimum_interval_seconds,
            }
            for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name)
        },
    }


def test_the_definitions_are_those_of_the_snapshot(definitions: dg.Definitions) -> None:
    found = described(definitions)
    if os.environ.get(REFRESH):
        text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert found == json.loads(SNAPSHOT.read_text(encoding="utf-8")), (
        f"the definitions changed; if that is meant: {REFRESH}=1 pytest {Path(__file__).name}, "
        f"and read the difference of {SNAPSHOT.name}"
    )


def test_each_description_is_for_users_and_not_for_readers_of_the_code(
    definitions: dg.Definitions,
) -> None:
    # A docstring is the description of what has no other, with the section Args, if it has one.
    found = described(definitions)
    for kind in ("assets", "checks", "sensors"):
        for name, facts in found[kind].items():
            text = facts["description"] or ""
            assert text, f"{name} has no description"
            assert "Args:" not in text, name


def test_the_definitions_load(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_every_blocking_check_is_verified_before_production(definitions: dg.Definitions) -> None:
    from assets.release.verdicts import blocking_check_names

    graph = definitions.get_repository_def().asset_graph
    blocking = [key.name for key in graph.asset_check_keys if graph.get_check_spec(key).blocking]
    assert sorted(blocking) == sorted(blocking_check_names())
