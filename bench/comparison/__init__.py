"""What `bench/compare.py` is made of: the sides, the jobs that they do, and the report.

processes, documents, figures      what is started, asked for and measured
aws, load ─ sides                  the emulated AWS; wrk and h2load; those who are compared
rates, fanout, polling, growth     the jobs
profile, plot, report              what comes of it
"""
