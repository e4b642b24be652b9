"""SOFIPO's loan-servicing backend: API, outbox relay and command line."""
