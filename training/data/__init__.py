"""The images of a data set as a job reads them, and a model's answers to them."""
