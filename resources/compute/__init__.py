"""The compute port: a job, its names, its messages and its outputs, whoever runs it."""
