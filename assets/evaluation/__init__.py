"""The asset evaluation_report: the candidate, the champion and the gates."""
