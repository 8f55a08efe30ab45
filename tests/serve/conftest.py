"""What a bundle is made of, as the tests of bundles have it."""

from tests.bundle.conftest import contents

__all__ = ["contents"]
