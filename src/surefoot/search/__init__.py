"""Which candidates to try, which to drop, under the budgets and the clock."""

from surefoot.search.find import search
from surefoot.search.race import Measure, Race, Raced, race, rightful_winner

__all__ = ["Measure", "Race", "Raced", "race", "rightful_winner", "search"]
