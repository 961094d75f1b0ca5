"""What all adapters for AWS share: the session and the translation of errors."""
