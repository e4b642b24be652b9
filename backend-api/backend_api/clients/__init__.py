"""The clients of the lender: records, what they owe, and the bare minimum anybody may look up by RFC."""
