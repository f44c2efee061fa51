"""The gRPC door: the service of `proto/`, how its messages are made, and how a call is answered."""
