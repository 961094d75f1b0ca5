"""Read a user's data: folders, archives and lists of labels. Doubtful cases become questions."""
