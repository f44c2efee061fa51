"""What bench/hostile_clients.py and bench/fuzz_doors.py are made of.

`wire` has bytes of the protocols and bare sockets; `attacks` what each hostile client does, and `aws` a hostile AWS;
`bystanders` whoever must not notice; `service` the gateway under attack; `logs` a reader of the log that is stuck or
gone. Attackers, bystanders and the hostile AWS are processes of their own.
"""
