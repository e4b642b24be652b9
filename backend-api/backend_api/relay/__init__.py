"""The outbox relay: one leader carries committed events to the broker, in order per aggregate, and loses none."""
