"""AWS, and the only place that knows botocore.

In: domain values. Out: domain values and `GatewayError`s. No foreign exception and no wire dict leaves.
"""
