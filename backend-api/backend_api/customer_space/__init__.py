"""What borrowers do for themselves: see what they owe, put it into a cart, pay it, take a payment back."""
