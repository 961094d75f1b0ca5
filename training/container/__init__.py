"""The container that a job runs in: its folders, machines, processes and messages."""
