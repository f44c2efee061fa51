"""The gRPC server: the service of `proto/`, message conversion and call handling."""

import os

# Read when gRPC is imported. Its core logs to stderr directly, bypassing our log and its limits: each client that
# does not speak HTTP/2 would cause an ERROR line.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
