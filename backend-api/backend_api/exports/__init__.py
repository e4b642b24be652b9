"""Lists as files, with the filters of the list and the rights of the caller."""
