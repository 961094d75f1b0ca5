"""The asset labelling_queue: chosen, noted, brought to Label Studio."""
