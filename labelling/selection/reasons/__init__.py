"""Why an image is worth a person's time: one class a reason."""
