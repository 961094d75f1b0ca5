"""Contents of objects: records, numbered records and tables, and how damage is reported."""
