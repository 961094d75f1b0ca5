"""The Label Studio that imgclf installs, runs and sets up."""
