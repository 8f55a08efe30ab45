"""How far each candidate holds along an axis, and what fails first."""
