"""What has a time of its own: days are closed, approvals expire, stored answers are deleted."""
