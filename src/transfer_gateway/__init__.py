"""transfer-gateway: what AWS Transfer Family's managed workflows are doing, across every account.

Layers, imports pointing down only (import-linter holds it):
`__main__ > cli > server > api > core > aws > settings | telemetry > domain`.
"""
