"""The portfolio: the end of a day, what is late, what is reserved, and the reports about it."""
