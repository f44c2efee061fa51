"""Shared by bench/hostile_clients.py and bench/fuzz_doors.py.

`wire` has the protocols' bytes and raw sockets; `attacks` the hostile clients, and `aws` a hostile AWS; `bystanders`
the clients that must not be affected; `service` the gateway under attack; `logs` a reader of the log that is stuck or
gone. Attackers, bystanders and the hostile AWS are separate processes.
"""
