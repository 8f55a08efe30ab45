"""A fallback that is no model of the bundle but an endpoint."""

from surefoot.evaluate.remote.ask import EndpointAnswers, ask_endpoint
from surefoot.evaluate.remote.remote import Remote, open_remote
from surefoot.evaluate.remote.replied import Replied

__all__ = ["EndpointAnswers", "Remote", "Replied", "ask_endpoint", "open_remote"]
