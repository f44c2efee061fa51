"""The GraphQL server: schema, types, and execution over HTTP and WebSocket."""
