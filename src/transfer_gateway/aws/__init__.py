"""AWS calls. The only package that uses botocore.

In: domain values. Out: domain values and `GatewayError`s. No botocore exception and no wire dict leaves this package.
"""
