"""What has come to the store: the port, notices, and S3's events by way of SQS."""
