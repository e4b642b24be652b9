"""Events read back from CouchDB, and the proof that nothing of them was lost or changed."""
