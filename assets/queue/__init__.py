"""The asset labelling_queue: images are chosen, recorded, and imported into Label Studio."""
