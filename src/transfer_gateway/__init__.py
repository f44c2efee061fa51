"""transfer-gateway: reads the executions of AWS Transfer Family's managed workflows across many accounts.

Layers, with imports only from left to right (import-linter checks it):
`__main__ > cli > server > api > core > aws > settings | telemetry > domain`.
"""
