"""The canary program: holds addresses, answers whoever comes, and writes down everything it saw.

`orch probe` and the tests put it where an escape would land. It serves HTTPS (any name, a CA of its own),
HTTP, DNS and raw ports, and watches packets; its control socket gives the record.
"""
