"""CloudFormation stacks as ``resources.stacks.stacks`` deploys them, against ministack."""

import contextlib
import json
import threading
import time

import boto3
import pytest

from resources.aws.session import AwsSession
from resources.stacks.errors import PlanOutdated, StackError, StackFailed, StackTimeout
from resources.stacks.plan import StackRequest
from resources.stacks.stacks import Stacks
from tests.patience import wait_for
from tests.testbed.ministack import ENVIRON
from tests.testbed.ministack_trial import trial_stacks

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def ministack(tmp_path_factory):
    with trial_stacks(tmp_path_factory.mktemp("ministack")) as url:
        yield url


@pytest.fixture
def stacks(ministack, monkeypatch):
    for key, value in (ENVIRON | {"AWS_ENDPOINT_URL": ministack}).items():
        monkeypatch.setenv(key, value)
    return Stacks(session=AwsSession(), poll_s=0.1)


@pytest.fixture
def name(request):
    return "t-" + request.node.name.replace("_", "-").replace("[", "-").rstrip("]")


def template(parameters=(), **trials):
    """A template of ``Custom::Trial`` resources, in the order they are named."""
    resources, previous = {}, None
    for logical_id, properties in trials.items():
        resources[logical_id] = {"Type": "Custom::Trial", "Properties": properties}
        if previous:
            resources[logical_id]["DependsOn"] = previous
        previous = logical_id
    body = {
        "Resources": resources,
        "Parameters": {p: {"Type": "String", "Default": "none"} for p in parameters},
        "Outputs": {k: {"Value": {"Fn::GetAtt": [k, "Value"]}} for k in trials},
    }
    return json.dumps(body)


def wanted(name, body, parameters=None):
    return StackRequest(name=name, template=body, parameters=parameters or {})


def deploy(stacks, name, body, parameters=None, **how):
    return stacks.deploy(wanted(name, body, parameters), **how)


def test_it_is_created_and_its_changes_and_events_are_told(stacks, name):
    lines = []
    result = deploy(stacks, name, template(One={"Value": "1"}), on_event=lines.append)
    assert (result.status, result.changed, result.outputs) == (
        "CREATE_COMPLETE",
        True,
        {"One": "1"},
    )
    assert lines[0] == f"{name}: Add Custom::Trial One"
    assert any("CREATE_COMPLETE Custom::Trial One" in line for line in lines)
    assert lines[-1].endswith(f"CREATE_COMPLETE AWS::CloudFormation::Stack {name}")
    assert stacks.exists(name)
    assert stacks.outputs(name) == {"One": "1"}


def test_no_change_is_recognised_and_leaves_no_change_set(stacks, name):
    body = template(One={"Value": "1"})
    deploy(stacks, name, body)
    before = len(_change_sets(stacks, name))
    lines = []
    result = deploy(stacks, name, body, on_event=lines.append)
    assert not result.changed
    assert result.outputs == {"One": "1"}
    assert lines == [f"{name}: nothing to change"]
    assert len(_change_sets(stacks, name)) == before


def test_an_update_tells_only_what_is_new(stacks, name):
    deploy(stacks, name, template(One={"Value": "1"}))
    lines = []
    result = deploy(
        stacks, name, template(One={"Value": "2"}, Two={"Value": "x"}), on_event=lines.append
    )
    assert result.status == "UPDATE_COMPLETE"
    assert result.outputs == {"One": "2", "Two": "x"}
    assert {(c.action, c.logical_id) for c in result.changes} == {("Modify", "One"), ("Add", "Two")}
    assert not any("CREATE_COMPLETE AWS::CloudFormation::Stack" in line for line in lines)
    assert len(lines) == len(set(lines))


def test_parameters_that_are_not_named_keep_their_values(stacks, name):
    body = template(["A", "B"], One={"Value": {"Fn::Sub": "${A}-${B}"}})
    deploy(stacks, name, body, {"A": "1", "B": "2"})
    assert deploy(stacks, name, body, {"A": "9"}).outputs == {"One": "9-2"}


def test_a_failed_creation_names_the_first_failure_and_can_be_repeated(stacks, name):
    with pytest.raises(StackFailed, match="Bad: no such role") as failed:
        deploy(stacks, name, template(Good={"Value": "1"}, Bad={"Fail": "no such role"}))
    assert (failed.value.status, failed.value.logical_id) == ("ROLLBACK_COMPLETE", "Bad")
    lines = []
    result = deploy(stacks, name, template(Good={"Value": "1"}), on_event=lines.append)
    assert result.status == "CREATE_COMPLETE"
    assert any("deleted, because its creation failed" in line for line in lines)


def test_a_failed_update_ends_rolled_back(stacks, name):
    deploy(stacks, name, template(One={"Value": "1"}))
    with pytest.raises(StackFailed, match="UPDATE_ROLLBACK_COMPLETE: One: canary alarm"):
        deploy(stacks, name, template(One={"Value": "2", "Fail": "canary alarm"}))
    assert stacks.status(name) == "UPDATE_ROLLBACK_COMPLETE"
    assert stacks.outputs(name) == {"One": "1"}
    assert deploy(stacks, name, template(One={"Value": "3"})).outputs == {"One": "3"}


def test_what_was_deployed_before_can_be_deployed_again(stacks, name):
    """Back to an older model, or the same one after its rollback: the very same wish as before."""
    one, two = template(One={"Value": "1"}), template(One={"Value": "2"})
    for body, value in ((one, "1"), (two, "2"), (one, "1"), (two, "2")):
        assert deploy(stacks, name, body).outputs == {"One": value}


def test_a_token_is_good_for_one_operation(stacks, name):
    """As CloudFormation has it, so that nobody comes to rely on tokens that name a wish."""
    for number, value in enumerate("12"):
        request = wanted(name, template(One={"Value": value}))
        plan = stacks.plan(request)
        where = {"ChangeSetName": plan.change_set_id, "StackName": plan.stack_id}
        with (
            pytest.raises(stacks.client.exceptions.TokenAlreadyExistsException)
            if number
            else contextlib.nullcontext()
        ):
            stacks.client.execute_change_set(**where, ClientRequestToken="a-wish")
            wait_for(lambda: stacks.status(name) == "CREATE_COMPLETE")
        assert stacks.execute(plan).outputs == {"One": value}


def test_the_same_deployment_attaches_to_the_one_that_runs(stacks, name):
    body = template(One={"Value": "1", "Seconds": 2})
    first = _in_background(stacks, name, body)
    wait_for(lambda: stacks.status(name) == "CREATE_IN_PROGRESS", every_s=0.05)
    lines = []
    result = deploy(stacks, name, body, on_event=lines.append)
    first.join()
    assert result.outputs == {"One": "1"}
    assert "CREATE_IN_PROGRESS already; waiting for it" in lines[0]
    assert sum("CREATE_IN_PROGRESS Custom::Trial One" in line for line in lines) == 1


def test_attaching_to_one_that_fails_fails_without_repeating_it(stacks, name):
    body = template(One={"Fail": "no capacity", "Seconds": 2})
    first = _in_background(stacks, name, body)
    wait_for(lambda: stacks.status(name) == "CREATE_IN_PROGRESS", every_s=0.05)
    with pytest.raises(StackFailed, match="no capacity"):
        deploy(stacks, name, body)
    first.join()
    assert _started(stacks, name) == 1


def test_another_deployment_waits_its_turn(stacks, name):
    deploy(stacks, name, template(One={"Value": "1"}))
    first = _in_background(stacks, name, template(One={"Value": "2", "Seconds": 2}))
    wait_for(lambda: stacks.status(name) == "UPDATE_IN_PROGRESS", every_s=0.05)
    lines = []
    result = deploy(stacks, name, template(One={"Value": "3"}), on_event=lines.append)
    first.join()
    assert result.outputs == {"One": "3"}
    assert "another operation runs; waiting for it" in lines[0]


def test_a_timeout_says_that_it_goes_on(stacks, name):
    body = template(One={"Value": "1", "Seconds": 2})
    with pytest.raises(StackTimeout, match="it continues"):
        deploy(stacks, name, body, timeout_s=0.3)
    assert deploy(stacks, name, body).outputs == {"One": "1"}
    assert _started(stacks, name) == 1


def test_a_plan_changes_nothing_and_can_be_dropped(stacks, name):
    plan = stacks.plan(wanted(name, template(One={"Value": "1"})))
    assert [str(change) for change in plan.changes] == ["Add Custom::Trial One"]
    assert not stacks.exists(name)
    stacks.discard(plan)
    wait_for(lambda: not stacks.status(name))


def test_a_leftover_plan_is_found_again(stacks, name):
    request = wanted(name, template(One={"Value": "1"}))
    left = stacks.plan(request)
    again = stacks.plan(request)
    assert again.change_set_id == left.change_set_id
    assert stacks.execute(again).status == "CREATE_COMPLETE"


def test_a_plan_outlived_by_another_deployment_is_refused(stacks, name):
    deploy(stacks, name, template(One={"Value": "1"}))
    plan = stacks.plan(wanted(name, template(One={"Value": "2"})))
    deploy(stacks, name, template(One={"Value": "3"}))
    with pytest.raises(PlanOutdated, match="another deployment was faster"):
        stacks.execute(plan)


def test_an_executed_plan_is_not_executed_twice(stacks, name):
    plan = stacks.plan(wanted(name, template(One={"Value": "1", "Seconds": 1})))
    stacks.client.execute_change_set(ChangeSetName=plan.change_set_id)  # whose answer is lost
    assert stacks.execute(plan).outputs == {"One": "1"}
    assert _started(stacks, name) == 1


def test_one_look_at_a_running_stack_is_one_call(stacks, name):
    calls = []
    stacks.client.meta.events.register(
        "before-call.cloudformation.*", lambda model, **_: calls.append(model.name)
    )
    stacks.poll_s = 0.2
    began = time.monotonic()
    deploy(stacks, name, template(One={"Value": "1", "Seconds": 2}))
    looks = calls.count("DescribeStackEvents")
    assert looks <= (time.monotonic() - began) / 0.2 + 3
    assert len(calls) - looks <= 6, calls


def test_a_long_template_goes_through_the_bucket(stacks, name):
    body = template(One={"Value": "1", "Padding": "x" * 60_000})
    with pytest.raises(StackError, match="must lie in a bucket"):
        deploy(stacks, name, body)
    boto3.client("s3").create_bucket(Bucket="long-templates")
    stacks.bucket, stacks.prefix = "long-templates", "a/b/"
    assert deploy(stacks, name, body).outputs == {"One": "1"}
    keys = boto3.client("s3").list_objects_v2(Bucket="long-templates")["Contents"]
    assert keys[0]["Key"].startswith("a/b/deployments/templates/")


def test_what_does_not_exist_says_so(stacks, name):
    assert stacks.status(name) == ""
    with pytest.raises(StackError, match="there is no stack"):
        stacks.outputs(name)


def test_a_wrong_template_is_named(stacks, name):
    with pytest.raises(StackError, match=name):
        deploy(stacks, name, "Resources: [")


def _change_sets(stacks, name):
    return stacks.client.list_change_sets(StackName=name)["Summaries"]


def _started(stacks, name):
    events = stacks.client.describe_stack_events(StackName=name)["StackEvents"]
    return sum(
        event["ResourceStatus"] == "CREATE_IN_PROGRESS" and event["LogicalResourceId"] == name
        for event in events
    )


def _in_background(stacks, name, body):
    def run():
        other = Stacks(session=stacks.session, poll_s=0.1)
        with contextlib.suppress(StackFailed):
            deploy(other, name, body)

    thread = threading.Thread(target=run)
    thread.start()
    return thread
