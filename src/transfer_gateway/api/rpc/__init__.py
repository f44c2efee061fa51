"""The gRPC door: the service of `proto/`, how its messages are made, and how a call is answered."""

import os

# Read when gRPC is imported. Its core writes to stderr by itself, past our log and its bounds: at ERROR whatever a
# client sends that is no HTTP/2.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
