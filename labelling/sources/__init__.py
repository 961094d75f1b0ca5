"""Reading what a user has: folders, archives and lists of labels, understood or asked about."""
