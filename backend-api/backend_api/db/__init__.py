"""PostgreSQL: the pools, what the servers are at, and the one statement that writes."""
