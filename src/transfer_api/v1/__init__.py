"""Version 1. Messages are in `…_pb2`, the client's stub in `execution_service_pb2_grpc`."""
