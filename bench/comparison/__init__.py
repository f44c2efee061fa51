"""The parts of `bench/compare.py`: the compared programs, their jobs, and the report.

processes, documents, results   what is started, requested and measured
aws, load ─ sides               the emulated AWS; wrk and h2load; the programs that are compared
rates, fanout, polling          the jobs
aims, profile, plot, report     targets, profiles, the chart and docs/benchmarks.md
"""
