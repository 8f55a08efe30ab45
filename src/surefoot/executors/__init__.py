"""Where work runs: this process, or several on this machine."""

from surefoot.executors.processes import Ended, Say, Work, each

__all__ = ["Ended", "Say", "Work", "each"]
