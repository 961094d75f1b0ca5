"""The asset challenger_model: planned within a budget, trained, compared with the candidate."""
