"""Proving who calls. Here: verifying tokens, and keeping the issuers' keys.

Not here: what a caller may see, where a door finds the token, and how a refusal looks there.
"""

from transfer_gateway.auth.issuer import ALGORITHMS, Issuer
from transfer_gateway.auth.oidc import Oidc

__all__ = ["ALGORITHMS", "Issuer", "Oidc"]
