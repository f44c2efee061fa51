"""Pure values and their rules. No I/O, no AWS, no GraphQL, no protobuf."""
