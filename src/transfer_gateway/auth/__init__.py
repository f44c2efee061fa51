"""Authentication of callers: verifies tokens and caches the issuers' keys.

Not here: authorization, extracting the token from a request, and error responses.
"""

from transfer_gateway.auth.issuer import ALGORITHMS, Issuer
from transfer_gateway.auth.oidc import Oidc

__all__ = ["ALGORITHMS", "Issuer", "Oidc"]
