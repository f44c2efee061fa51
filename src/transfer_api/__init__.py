"""The gRPC API, generated from `proto/`. What a client in Python depends on; nothing is written here by hand."""
