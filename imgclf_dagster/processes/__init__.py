"""Programs beside this one: started, watched, ended."""
