"""The gRPC door: the service of `proto/`, how its messages are made, and how a call is answered."""

import os

# Read when gRPC is imported. Its core writes to stderr in a form of its own: at INFO, whatever handshake fails.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
