"""Clients from a file, by the hundred thousand: taken in, checked line by line, written by the worker."""
