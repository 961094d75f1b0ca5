"""The search for hyperparameters: its space, its trials and their pictures."""
