"""Starting a command without importing torch, pandas and matplotlib anew.

Snakemake runs each step as a process of its own, and most of a short step's time is importing. A
run on this machine keeps one process that has imported these packages, the fork server; a step's
process (`client.py`) asks it for a fork, which runs the command, and ends as that fork ends. The
project's own modules are not imported beforehand: a step runs the code that is there when it
starts. Without a server, or where it does not suit, a command runs in its own process as it always
could.
"""
