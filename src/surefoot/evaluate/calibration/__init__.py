"""What the confidence of a candidate is worth."""
