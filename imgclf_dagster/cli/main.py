"""``imgclf``: the command line. Heavy modules are imported by the commands that need them."""

import typer

from imgclf_dagster.cli.demo import demo_command
from imgclf_dagster.cli.deploy import deploy_app
from imgclf_dagster.cli.doctor import doctor_command
from imgclf_dagster.cli.export import export_command
from imgclf_dagster.cli.ingest import ingest_command
from imgclf_dagster.cli.label_studio import label_studio_app
from imgclf_dagster.cli.labels import labels_app
from imgclf_dagster.cli.predict import predict_command
from imgclf_dagster.cli.queue import queue_command
from imgclf_dagster.cli.release import approve_command, reject_command, rollback_command
from imgclf_dagster.cli.run import run_command
from imgclf_dagster.cli.splits import splits_app
from imgclf_dagster.cli.status import status_command
from imgclf_dagster.cli.up import up_command

app = typer.Typer(
    name="imgclf",
    help="Keep an image classifier current: from an arriving image to a gated production endpoint.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command("up")(up_command)
app.command("ingest")(ingest_command)
app.command("export")(export_command)
app.command("run")(run_command)
app.command("status")(status_command)
app.command("queue")(queue_command)
app.command("predict")(predict_command)
app.command("approve")(approve_command)
app.command("reject")(reject_command)
app.command("rollback")(rollback_command)
app.command("doctor")(doctor_command)
app.command("demo")(demo_command)
app.add_typer(labels_app)
app.add_typer(splits_app)
app.add_typer(deploy_app)
app.add_typer(label_studio_app)

if __name__ == "__main__":
    app()
