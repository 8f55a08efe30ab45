"""Where work runs: this process, or several on this machine."""

from surefoot.executors.memory import PER_PROCESS, free_memory
from surefoot.executors.processes import Ended, Say, Work, Workers, each

__all__ = ["PER_PROCESS", "Ended", "Say", "Work", "Workers", "each", "free_memory"]
