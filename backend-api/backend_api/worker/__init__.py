"""What has a time of its own: days are closed, approvals expire, files are imported, old answers are deleted."""
