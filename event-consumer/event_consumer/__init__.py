"""The event consumer: keeps every business event as a JSON document in CouchDB, once, unchanged."""
