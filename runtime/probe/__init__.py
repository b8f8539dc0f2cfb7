"""`orch probe`: attacks this host from inside a real sandbox, and judges each attempt from both sides.

corpus/    the cases: data
inside/    the program in the sandbox that makes the attempts (standard library only)
judge.py   what was seen inside, in the audit and at the canaries -> a verdict
lab.py     a daemon of the probe's own, its canaries, a victim
report.py  JSON, JUnit, SARIF
"""
