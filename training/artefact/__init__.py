"""The model artefact: its contents, its export to ONNX, and prediction with it."""
