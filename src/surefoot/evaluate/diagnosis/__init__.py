"""Why a candidate is not faster."""
