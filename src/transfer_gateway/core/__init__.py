"""The use cases that both doors share. Knows no HTTP, no GraphQL, no gRPC and no botocore."""
