"""The asset labelling_report."""
