"""The use cases behind both servers. No HTTP, GraphQL, gRPC or botocore in here."""
