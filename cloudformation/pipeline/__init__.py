"""What the pipeline of ``cicd.yaml`` runs beside CloudFormation: its buildspecs call these."""
