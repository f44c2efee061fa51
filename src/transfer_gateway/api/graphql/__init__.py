"""The GraphQL door: schema, types, and how a request to it is answered over HTTP."""
