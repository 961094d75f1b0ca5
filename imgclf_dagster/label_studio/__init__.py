"""A Label Studio of our own: installed, run, set up and kept so."""
