"""Reading a data set's images in a job, and predicting on them."""
