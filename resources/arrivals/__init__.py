"""Notifications about new objects in the store: the port, notices, and S3 events through SQS."""
