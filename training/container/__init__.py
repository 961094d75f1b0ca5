"""The job's container: its folders, machines, processes and messages."""
